"""Write smart_colab_executor.ipynb from the package: `python build_notebook.py [--check]`.

The notebook carries the package as readable text, so that whoever runs it can see what runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE / "smart_colab_executor"
NOTEBOOK = HERE / "smart_colab_executor.ipynb"
CARRIED = (".py", ".txt", ".html", ".css", ".js")

PAGE = """\
# smart-colab: compute here from your chat

This notebook starts the *executor*: a small service that runs code on this machine for the `smart-colab` bridge,
which Claude Desktop, Claude Code and other MCP clients talk to. Code sent from the chat runs here; what it prints,
draws and saves comes back there.

1. Choose a tunnel under **Settings**. For ngrok, put your
   [authtoken](https://dashboard.ngrok.com/get-started/your-authtoken) into Colab's Secrets (the key in the left
   side bar) as `NGROK_TOKEN`, with *Notebook access* switched on. Cloudflare needs no account; its program
   `cloudflared` is downloaded from [Cloudflare's releases on
   GitHub](https://github.com/cloudflare/cloudflared/releases) when it is missing.
2. Run both cells, and leave this page open.
3. Copy the line `https://…#TOKEN` that **Start** prints into your client's settings as `COLAB_URL`, or take the
   printed configuration whole, and restart the client.

**The line is a key.** Whoever has it can run any code on this machine, and so can read and change all that this
machine can reach, a mounted Google Drive among it. It stays in this notebook's output: clear the output before you
share the notebook. To end it all, stop the Start cell. With the address of your own network (search the web for
"what is my IP") in the form's `allowed_ips`, or in the environment's `ALLOWED_IPS`, the line is of no use from
elsewhere.

**Running it again.** The token stays the same as long as this machine lives (`/content/.smart_colab/token`). With
your [ngrok domain](https://dashboard.ngrok.com/domains) as the Secret `NGROK_DOMAIN` (or in the form) the address
stays the same too, and with a long random text as the Secret `SMART_COLAB_TOKEN` the token does even on a new
machine: then the bridge's settings stay good for ever. A Cloudflare address is new at every start.

**Colab's rules.** [Colab's FAQ](https://research.google.com/colaboratory/faq.html) lists what is not allowed on
runtimes that run free of charge, without a positive compute unit balance, and may be ended at any time without
warning; among it "remote control such as SSH shells, remote desktops" and "bypassing the notebook UI to interact
primarily via a web UI". It says that a paid plan with a positive compute unit balance removes these. On every plan
it disallows, among other things, "connecting to remote proxies" and "web service offerings not related to
interactive compute with Colab". Using this notebook can fall under these rules; read them, and decide for yourself
whether your use keeps them. Google's own ways to do similar work are
[colab-mcp](https://github.com/googlecolab/colab-mcp) and
[google-colab-cli](https://github.com/googlecolab/google-colab-cli). The executor also runs on any other machine
with Python.
"""

FORM = """\
#@title Settings
tunnel = "ngrok"  #@param ["ngrok", "cloudflare", "none"]
#@markdown Your fixed ngrok domain, or nothing (then the Secret NGROK_DOMAIN, then a domain that ngrok chooses):
ngrok_domain = ""  #@param {type:"string"}
#@markdown The only addresses and networks to serve, such as `203.0.113.7, 198.51.100.0/24`; nothing means all:
allowed_ips = ""  #@param {type:"string"}
"""

START = """\
#@title Start (and stop)
# The package is written out below and started: smart_colab_executor/notebook/start.py says what happens.
import os
import shutil
import sys
from pathlib import Path

PACKAGE = {
<files>}

content = "/content" if Path("/content").is_dir() else "."
root = Path(os.environ.get("SMART_COLAB_NOTEBOOK_ROOT", content)).absolute()
folder = root / ".smart_colab" / "package"
shutil.rmtree(folder, ignore_errors=True)
for name, text in PACKAGE.items():
    file = folder / "smart_colab_executor" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\\n")
for name in [name for name in sys.modules if name.partition(".")[0] == "smart_colab_executor"]:
    del sys.modules[name]  # of an earlier run of this cell
sys.path[:] = [str(folder), *(path for path in sys.path if path != str(folder))]

from smart_colab_executor.notebook.start import start

start(tunnel, ngrok_domain, root, allowed_ips)
"""


def carried(package: Path = PACKAGE) -> dict[str, str]:
    """Read the package's files, by their names relative to it."""
    files = sorted(file for file in package.rglob("*") if file.suffix in CARRIED)
    return {file.relative_to(package).as_posix(): file.read_text("utf-8") for file in files}


def literal(text: str) -> str:
    """Spell a text as a Python string, word for word where that can be."""
    verbatim = "'''" not in text and text.endswith("\n")
    return f"r'''{text}'''" if verbatim else repr(text)


def build(files: dict[str, str]) -> str:
    """Make the notebook's text; the same files give the same text."""
    listed = "".join(f'"{name}": {literal(text)},\n' for name, text in files.items())
    cells = [
        _cell("about", "markdown", PAGE),
        _cell("settings", "code", FORM),
        _cell("start", "code", START.replace("<files>", listed)),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "colab": {"name": NOTEBOOK.name, "provenance": []},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cell(name: str, kind: str, source: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "id": name, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "metadata": {"cellView": "form"}, "outputs": []}
    return cell | {"source": source.rstrip("\n").splitlines(keepends=True)}


def main(arguments: list[str]) -> int:
    """Write the notebook, or with --check say whether it is the one that would be written."""
    text = build(carried())
    if arguments == ["--check"]:
        if NOTEBOOK.is_file() and NOTEBOOK.read_text("utf-8") == text:
            return 0
        print(f"{NOTEBOOK.name} is not what build_notebook.py writes: run it, and commit the result.", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    NOTEBOOK.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

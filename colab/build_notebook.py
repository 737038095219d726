"""Write smart_colab_executor.ipynb from the package: `python build_notebook.py [--check]`.

The notebook contains the package as a zip archive in one line, so that it runs by itself and a change of the package
changes one line. Compressors differ between systems, so the notebook is compared by the files in the archive.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE / "smart_colab_executor"
NOTEBOOK = HERE / "smart_colab_executor.ipynb"
CARRIED = (".css", ".html", ".js", ".py", ".svg", ".txt")
# The earliest time in a zip archive.
NO_TIME = (1980, 1, 1, 0, 0, 0)
COMPRESSION_LEVEL = 9
ARCHIVE = re.compile(r'(?<=^PACKAGE = ")[A-Za-z0-9+/=]*(?="$)', re.MULTILINE)

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
3. Copy the line that **Start** prints, `https://…#TOKEN` or `jupyter+https://…?token=TOKEN`, into your client's
   settings as `COLAB_URL`, or take the whole printed configuration, and restart the client.

**The line is a key.** Anyone with it can run any code on this machine, and so can read and change everything that
this machine can reach, including a mounted Google Drive. It stays in this notebook's output: clear the output before
you share the notebook. To stop everything, stop the Start cell. With the address of your own network (search the web
for "what is my IP") in the form's `allowed_ips`, or in the environment's `ALLOWED_IPS`, the line is useless from
elsewhere.

**JupyterLab on your computer.** With the form's `server` set to Jupyter Server, **Start** also prints a
`jupyter lab --gateway-url=…` line. JupyterLab started with it runs its kernels here, and the bridge works beside it,
on the same machine. Notebooks and other files in JupyterLab stay on your computer; files that code writes are here.

**Running it again.** The token stays the same as long as this machine exists (`.smart_colab/token`). With
your [ngrok domain](https://dashboard.ngrok.com/domains) as the Secret `NGROK_DOMAIN` (or in the form) the address
stays the same too, and with a long random text as the Secret `SMART_COLAB_TOKEN` the token does even on a new
machine: then the bridge's settings stay valid. A Cloudflare address is new at every start.

**Sessions that outlive this machine.** With the form's `drive_folder`, Colab asks you for access to your Google Drive,
and what the chat saves of a session's variables is kept in that folder of it.

**On Kaggle** this notebook works as it is: import it (*File > Import Notebook*), switch on *Internet* in the session
options, add the Secrets under *Add-ons > Secrets*, and run both cells in a session of the editor. Code runs in
`/kaggle`: datasets are in `input`, and what it writes to `working` Kaggle keeps as the notebook's output. Kaggle's
rules apply there; read them, and decide for yourself whether your use complies.

**Colab's rules.** [Colab's FAQ](https://research.google.com/colaboratory/faq.html) lists what is not allowed on
runtimes that run free of charge, without a positive compute unit balance, and may be ended at any time without
warning; among it "remote control such as SSH shells, remote desktops" and "bypassing the notebook UI to interact
primarily via a web UI". It says that a paid plan with a positive compute unit balance removes these. On every plan
it disallows, among other things, "connecting to remote proxies" and "web service offerings not related to
interactive compute with Colab". These rules may apply to using this notebook; read them, and decide for yourself
whether your use complies. Google's own ways to do similar work are
[colab-mcp](https://github.com/googlecolab/colab-mcp) and
[google-colab-cli](https://github.com/googlecolab/google-colab-cli). The executor also runs on any other machine
with Python.

**What runs here.** The long line in the **Start** cell's code is the executor itself, as a zip archive: the Python
package beside this notebook in the repository, `colab/smart_colab_executor`. It is unpacked into
`.smart_colab/package`, where you can read it. No part of it is downloaded.
"""

FORM = """\
#@title Settings
#@markdown The executor, or a Jupyter Server, which JupyterLab on your computer can use too:
server = "executor"  #@param ["executor", "Jupyter Server"]
tunnel = "ngrok"  #@param ["ngrok", "cloudflare", "none"]
#@markdown Your fixed ngrok domain; if empty, the Secret NGROK_DOMAIN, else a domain that ngrok chooses:
ngrok_domain = ""  #@param {type:"string"}
#@markdown The only addresses and networks to serve, such as `203.0.113.7, 198.51.100.0/24`; empty means all:
allowed_ips = ""  #@param {type:"string"}
#@markdown A folder in your Google Drive for saved sessions, such as `smart-colab`; if empty, no Drive is mounted:
drive_folder = ""  #@param {type:"string"}
"""

START = """\
#@title Start (and stop)
# Unpacks the package and starts it; see smart_colab_executor/notebook/start.py.
import base64
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path

def unpacked(package, folder):
    shutil.rmtree(folder, ignore_errors=True)
    zipfile.ZipFile(io.BytesIO(base64.b64decode(package))).extractall(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "smart_colab_executor"]:
        del sys.modules[name]  # from an earlier run of this cell
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(folder))]
    from smart_colab_executor.notebook import start

    return start

# Kaggle's, which has Colab's too. Kaggle publishes /kaggle/working with the notebook: the token must not be there.
content = next((folder for folder in ("/kaggle", "/content") if Path(folder).is_dir()), ".")
root = Path(os.environ.get("SMART_COLAB_NOTEBOOK_ROOT", content)).absolute()
PACKAGE = "<package>"
start = unpacked(PACKAGE, root / ".smart_colab" / "package").start
start(tunnel, ngrok_domain, root, allowed_ips, server, drive_folder)
"""


def carried(package: Path = PACKAGE) -> dict[str, str]:
    """Return the package's files by their relative names."""
    files = sorted(file for file in package.rglob("*") if file.suffix in CARRIED)
    return {file.relative_to(package).as_posix(): file.read_text("utf-8") for file in files}


def packed(files: dict[str, str]) -> str:
    """Pack files as a zip archive, in base64."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{PACKAGE.name}/{name}", NO_TIME)
            entry.external_attr = 0o644 << 16
            written.writestr(entry, text.encode(), zipfile.ZIP_DEFLATED, COMPRESSION_LEVEL)
    return base64.b64encode(archive.getvalue()).decode()


def unpacked(package: str) -> dict[str, str]:
    """Return the files in an archive of `packed`. Raises ValueError, BadZipFile."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(package, validate=True))) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def build(files: dict[str, str]) -> str:
    """Return the notebook's text."""
    cells = [
        _cell("about", "markdown", PAGE),
        _cell("settings", "code", FORM),
        _cell("start", "code", START.replace("<package>", packed(files))),
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


def is_in_step(notebook: str, files: dict[str, str]) -> bool:
    """Return whether a notebook contains exactly these files, whatever the compressor."""
    try:
        start = "".join(json.loads(notebook)["cells"][-1]["source"])
        found = ARCHIVE.search(start)
        return (
            found is not None
            and unpacked(found[0]) == files
            and notebook == build(files).replace(packed(files), found[0])
        )
    except (ValueError, LookupError, TypeError, zipfile.BadZipFile):
        return False


def main(arguments: list[str]) -> int:
    """Write the notebook if it differs from the package; with --check only report that."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    files = carried()
    if NOTEBOOK.is_file() and is_in_step(NOTEBOOK.read_text("utf-8"), files):
        return 0
    if arguments:
        print(f"{NOTEBOOK.name} is older than the package: run `python colab/build_notebook.py`.", file=sys.stderr)
        return 1
    NOTEBOOK.write_text(build(files), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env bash
# One would expect: a Jupyter Server's start is spent in its own modules, in its extensions and in tornado.
#
# What happens: three quarters of its imports' time is one small package. jupyter_events asks for jsonschema with its
# checks of formats; among these rfc3987-syntax checks IRIs, and builds a grammar with lark's Earley parser when it is
# imported, whether an IRI is ever checked or not. Where a server is installed, `import nbformat` pays for it too, and
# so does each tool that reads a notebook.
#
# Why it matters: a second of the processor at each start, on machines that start a server for each user. Without the
# package jsonschema leaves that one check out, and all else is the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 jupyter_events==0.12.1 jsonschema==4.26.0 rfc3987-syntax==1.1.0 lark==1.3.1
cat >"$folder/look.py" <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version


def seconds(code):
    """The processor's time of a process, the least of three."""
    measured = f"{code}; import time; print(time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", measured], check=True, capture_output=True) for _ in range(3)]
    return min(float(run.stdout.split()[-1]) for run in runs)


without = "import sys; sys.modules['rfc3987_syntax'] = None; "
server, bare = seconds("import jupyter_server.serverapp"), seconds(without + "import jupyter_server.serverapp")
notebooks, plain = seconds("import nbformat"), seconds(without + "import nbformat")
names = ("jupyter_server", "jupyter_events", "jsonschema", "rfc3987-syntax", "lark")
print(*(f"{name} {version(name)}" for name in names), "on Python", sys.version.split()[0])
print(f"import jupyter_server.serverapp: {server:.2f} s, without rfc3987-syntax {bare:.2f} s")
print(f"import nbformat: {notebooks:.2f} s, without rfc3987-syntax {plain:.2f} s")
sys.exit(0 if server > 1.5 * bare and notebooks > 1.5 * plain else "the behaviour has changed")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"

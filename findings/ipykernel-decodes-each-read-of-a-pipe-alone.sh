#!/usr/bin/env bash
# One would expect text that a child process writes to a notebook's stdout to arrive as it was written.
# ipykernel 7.4.0 puts a pipe behind file descriptors 1 and 2, reads it in pieces of up to 1,000 bytes, and decodes each
# piece by itself with errors="replace". A character that spans two pieces becomes two or more U+FFFD;
# a writer that flushes in the middle of a character can cause this anywhere. `print` in the kernel is not affected.
# It matters for every child process, C library or `os.write` whose output is not ASCII: the text cannot be restored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install ipykernel==7.4.0 jupyter_client==8.10.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys
from subprocess import DEVNULL

from jupyter_client.manager import start_new_kernel

CODE = """
import subprocess, sys
subprocess.run([sys.executable, "-X", "utf8", "-c", "print('\\u65e5\\u672c\\u8a9e' * 2000)"])
"""
manager, client = start_new_kernel(kernel_name="python3", stdout=DEVNULL, stderr=DEVNULL)
texts = []
try:
    client.execute_interactive(
        CODE, timeout=60, output_hook=lambda m: texts.append(m["content"]["text"]) if m["msg_type"] == "stream" else None
    )
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
text = "".join(texts)
damaged = text.count("\ufffd")
print("ipykernel", importlib.metadata.version("ipykernel"), "on Python", sys.version.split()[0])
print(f"a child wrote 6,000 characters in one print; {len(text.strip()):,} arrived, {damaged} of them U+FFFD")
sys.exit(0 if damaged else "the text came whole: the behaviour has changed")
PYTHON

#!/usr/bin/env bash
# One would expect `nbformat.write(nbformat.read(path), path)` to leave a valid notebook unchanged, or to fail before it touches the file.
# JSON may contain a lone surrogate as `\ud83d`: JSON.stringify writes an emoji cut in two that way, so a notebook can have it in an
# output. nbformat 5.11.1 reads and validates such a notebook. To write it, it first opens the file, which empties it, and then encodes the
# text, which fails: UnicodeEncodeError, and the file has 0 bytes.
# It matters for every tool that edits notebooks in place: one odd character in one output costs the whole notebook. Encode first, write
# to another file and rename it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install nbformat==5.11.1
"$folder/venv/bin/python" - "$folder/a.ipynb" <<'PYTHON'
import json
import sys
from pathlib import Path

import nbformat

path = Path(sys.argv[1])
output = {"output_type": "stream", "name": "stdout", "text": "half an emoji: \ud83d"}
cell = {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "source": "precious", "outputs": [output]}
path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
before = path.stat().st_size
notebook = nbformat.read(path, as_version=4)
nbformat.validate(notebook)
try:
    nbformat.write(notebook, path)
    error = "no error"
except UnicodeEncodeError as caught:
    error = f"UnicodeEncodeError: {caught}"
after = path.stat().st_size
print("nbformat", nbformat.__version__, "on Python", sys.version.split()[0])
print(f"read, validated and written back: {error}; the file had {before} bytes and has {after}")
sys.exit(0 if after == 0 else "the notebook is still there: the behaviour has changed")
PYTHON

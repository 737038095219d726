#!/usr/bin/env bash
# One would expect a `%%bash` cell to show everything that the script prints.
# IPython 9.18.1 decodes the script's output incrementally as it arrives, and treats a piece that decodes to nothing as the
# end. That happens for a piece with only the first bytes of a character, as when a program writes its bytes unbuffered
# and pauses between them; nothing after it is shown, in any language, and no error either. `!command` is not
# affected.
# It matters for scripts that stream non-ASCII text, such as the tokens of a language model: the cell's output may stop
# anywhere, and looks complete.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install ipython==9.18.1
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import sys

import IPython
from IPython.core.interactiveshell import InteractiveShell

# The three bytes of one character, with a pause after the second, and a line after it.
SCRIPT = r"""
printf '\346\227'; sleep 0.5; printf '\245\n'
echo 'a second line'
"""
shell = InteractiveShell.instance()
shown = {}
for name, cell in {"%%bash": "%%bash\n" + SCRIPT, "a file run by bash": None}.items():
    with contextlib.redirect_stdout(io.StringIO()) as output:
        if cell:
            result = shell.run_cell(cell)
            assert result.success
        else:
            import subprocess

            print(subprocess.run(["bash", "-c", SCRIPT], capture_output=True, check=True).stdout.decode(), end="")
    shown[name] = output.getvalue()
print("IPython", IPython.__version__, "on Python", sys.version.split()[0])
for name, text in shown.items():
    print(f"{name}: {text!r}")
lost = shown["%%bash"] == "" and "a second line" in shown["a file run by bash"]
sys.exit(0 if lost else "the output came whole: the behaviour has changed")
PYTHON

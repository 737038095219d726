#!/usr/bin/env bash
# One would expect: the arrow in a traceback of a notebook cell marks the line that raised.
#
# What happens: IPython 9.18.1 looks for the cell's file on disk and, as there is none, takes a fast path that reads
# `frame.f_lineno` instead of `tb.tb_lineno`. That is the frame's last line, so that with a `finally` (or a `with`)
# around the failing line the arrow points to the end of the cell. Python's own traceback has the right line.
#
# Why it matters: a person, and even more a model, fixes the marked line.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install ipython==9.18.1 ipykernel==7.4.0 jupyter_client==8.10.0
cat > "$folder/look.py" <<'PYTHON'
import re
import sys
import traceback

import IPython
from jupyter_client.manager import start_new_kernel

CELL = "try:\n    1 / 0\nfinally:\n    y = 1\n    z = 2\n"
manager, client = start_new_kernel()
try:
    client.execute(CELL)
    while (message := client.get_iopub_msg(timeout=60))["msg_type"] != "error":
        pass
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(message["content"]["traceback"]))
shown = int(re.search(r"-+> (\d+)", text)[1])
try:
    exec(compile(CELL, "cell", "exec"), {})
except ZeroDivisionError as error:
    raised = traceback.extract_tb(error.__traceback__)[-1].lineno
print(f"IPython {IPython.__version__}, Python {sys.version.split()[0]}: raised in line {raised}, marked in line {shown}")
print(text)
sys.exit(0 if (raised, shown) == (2, 5) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/look.py"

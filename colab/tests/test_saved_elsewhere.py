"""A session saved by one Python and loaded by another, in both directions: right, or refused with the reason.

`SMART_COLAB_OTHER_PYTHON` names the other Python, of any version, with cloudpickle and any versions of the libraries
that `session_on_python.py` knows: `SMART_COLAB_OTHER_PYTHON=…/bin/python pytest tests/test_saved_elsewhere.py`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from session_on_python import BOUND, PLAIN, assigned

OTHER = os.environ.get("SMART_COLAB_OTHER_PYTHON")
PROGRAM = Path(__file__).with_name("session_on_python.py")
NEEDS_OTHER = pytest.mark.skipif(OTHER is None, reason="SMART_COLAB_OTHER_PYTHON names no other Python")
REASON = re.compile(r"only Python .* reads|does not read what|reads .* as |it needs |\(saved with ")


def run(python: str, what: str, folder: Path) -> Any:
    """Save the session with a Python, or load it."""
    done = subprocess.run([python, str(PROGRAM), what, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def version(python: str) -> str:
    """Return a Python's version, to the minor."""
    said = "import sys; print('%d.%d' % sys.version_info[:2], end='')"
    return subprocess.run([python, "-c", said], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("saves", "loads"),
    [
        pytest.param(sys.executable, sys.executable, id="here"),
        pytest.param(sys.executable, OTHER, id="to the other", marks=NEEDS_OTHER),
        pytest.param(OTHER, sys.executable, id="from the other", marks=NEEDS_OTHER),
    ],
)
def test_each_value_is_right_or_refused_with_the_reason(saves: str, loads: str, tmp_path: Path) -> None:
    saved, loaded = run(saves, "save", tmp_path), run(loads, "load", tmp_path)
    assert not [row for row in saved["rows"].values() if "not saved:" in row]
    refused = {name: row for name, row in loaded["rows"].items() if "not loaded:" in row}
    assert not [row for row in refused.values() if not REASON.search(row)]
    assert loaded["seen"] == {name: seen for name, seen in saved["seen"].items() if name not in refused}
    assert not refused.keys() & assigned(PLAIN)
    if version(saves) == version(loads):
        assert not refused.keys() & assigned(BOUND)
    else:
        assert refused.keys() >= assigned(BOUND)

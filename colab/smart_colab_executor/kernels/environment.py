"""The environment of kernels."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

SECRET_VARIABLES = ("SMART_COLAB_TOKEN",)


def environment() -> dict[str, str]:
    """Return the variables for a new kernel."""
    found = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    found["PATH"] = _search_path(found.get("PATH", os.defpath))
    # Figures are output, whatever matplotlib's default on this machine.
    return {**found, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def _search_path(path: str) -> str:
    """Return the search path with which `python` and `pip` are those of the kernel, as in an activated environment."""
    python = Path(sys.executable)
    found = shutil.which(python.name, path=path)
    # An environment's Python is a link to another one; elsewhere a link is the same Python. Its folder then stays where
    # it is: a system's has other programs, too.
    is_environment = sys.prefix != sys.base_prefix
    if found and (Path(found).parent == python.parent or (not is_environment and python.samefile(found))):
        return path
    # On Windows, outside of environments, pip is below it.
    folders = [python.parent, python.parent / "Scripts"] if sys.platform == "win32" else [python.parent]
    return os.pathsep.join([*map(str, folders), path])

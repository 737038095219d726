"""Detects a removed current folder, changes to the new folder of that name, and reports it in the cell.

Runs in the kernel, as `_smart_colab.current_folder`; standard library only.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class CurrentFolder:
    """Checks the current folder before every cell."""

    def __init__(self, shell: Any, stderr: Any) -> None:
        self._start = self._last = Path.cwd()
        self._stderr = stderr
        shell.events.register("pre_execute", self._look)
        shell.events.register("post_execute", self._note)

    def _look(self) -> None:
        if self._note():
            return
        # It may be another one than before the last cell; only Linux tells.
        with suppress(OSError):
            self._last = Path(os.readlink("/proc/self/cwd").removesuffix(" (deleted)"))  # noqa: PTH115 - of a link
        with suppress(OSError):
            os.chdir(self._last)
            self._print_note(f"the current folder {self._last} was removed; code runs in a new folder of that name")
            return
        self._print_note(
            f"the current folder {self._last} was removed, so relative paths fail; call os.chdir({str(self._start)!r})"
        )

    def _note(self) -> bool:
        """Note the current folder; return whether it exists."""
        try:
            self._last = Path.cwd()
        except OSError:
            return False
        return True

    def _print_note(self, what: str) -> None:
        self._stderr.write_here(f"[{what}]\n")

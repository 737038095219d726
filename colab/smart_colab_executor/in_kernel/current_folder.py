"""A current folder that was removed under the kernel: left for the one that has its name now, and said in the cell.

Runs in the kernel, as `_smart_colab.current_folder`; standard library alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class CurrentFolder:
    """Looks at the current folder before every cell."""

    def __init__(self, shell: Any, stderr: Any) -> None:
        self._start = self._last = Path.cwd()
        self._stderr = stderr
        shell.events.register("pre_execute", self._look)
        shell.events.register("post_execute", self._note)

    def _look(self) -> None:
        if self._note():
            return
        with suppress(OSError):
            os.chdir(self._last)
            self._say(f"the current folder {self._last} was removed; this is a new one of that name")
            return
        self._say(
            f"the current folder {self._last} was removed, and relative paths fail: os.chdir({str(self._start)!r})"
        )

    def _note(self) -> bool:
        """Whether there is one."""
        try:
            self._last = Path.cwd()
        except OSError:
            return False
        return True

    def _say(self, what: str) -> None:
        self._stderr.write_here(f"[{what}]\n")

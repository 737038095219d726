"""The files by which a program on this machine finds the executor. Folders for caches are cleared by others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Presence:
    """The ready file, and the file of the token, if each was named."""

    def __init__(self, ready: dict[str, Any], ready_file: Path | None, secret: str, token_file: Path | None) -> None:
        self._line = json.dumps(ready)
        self._ready_file = ready_file
        self._secret = secret
        self._token_file = token_file

    def announce(self) -> None:
        """Write the ready file, and the ready line to stdout. Raises OSError."""
        if self._ready_file is not None:
            _write(self._ready_file, self._line + "\n")
        print(self._line, flush=True)

    def restore(self) -> None:
        """Write both files again if the ready file was removed: no second executor can start. Raises OSError."""
        if self._ready_file is None or self._ready_file.exists():
            return
        self._ready_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # First, and in place of one that was made meanwhile: the ready file leads to it.
        if self._token_file is not None:
            _write(self._token_file, self._secret)
        _write(self._ready_file, self._line + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    partial.replace(path)

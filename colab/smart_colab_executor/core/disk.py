"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import FileIO

NO_ROOM = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` as a whole. Raises OSError, and then leaves the old content."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb", buffering=0) as file:
            write_whole(file, content, 0)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def append_whole(path: Path, content: bytes) -> None:
    """Append all of `content`. Raises OSError, and then leaves the file unchanged."""
    with path.open("ab", buffering=0) as file:
        write_whole(file, content, file.tell())


def write_whole(file: FileIO, content: bytes, start: int) -> None:
    """Append all of `content` to a file that is `start` bytes long, or nothing of it."""
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), start)
        raise

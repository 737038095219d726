"""The pipes behind descriptors 1 and 2, and the cells that their text belongs to.

Runs in the kernel, as `_smart_colab.pipes`, except on Windows; standard library only.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import stat
from typing import Any

from . import pools
from .origins import Source


class Pipe:
    """One cell's pipe behind one descriptor."""

    def __init__(self, key: Source, descriptor: int) -> None:
        self._key, self.descriptor = key, descriptor
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.identity = identity(self.read_end)
        # How many bytes were read from it, and written to the journal.
        self.taken = self.added = 0
        self.is_at_end = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def key(self) -> Source:
        """The key of the cell that the text belongs to."""
        return self._key

    def decode(self, raw: bytes) -> bytes:
        """Return the text in `raw`, as UTF-8; an empty `raw` ends it."""
        self.taken += len(raw)
        self.is_at_end = not raw
        return self._decoder.decode(raw, self.is_at_end).encode()


class PoolPipe(Pipe):
    """The pipe that the workers of process pools write to."""

    def __init__(self, stream: Any, descriptor: int) -> None:
        super().__init__(Source.of(stream, pools.user()), descriptor)

    @property
    def key(self) -> Source:
        """The key of the cell that last used a pool."""
        if self._key.parent is not pools.user():
            self._key = Source.of(self._key.stream, pools.user())
        return self._key


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return an identity common to both ends of a pipe; None if it is not a pipe. Raises OSError."""
    status = os.fstat(descriptor)
    return (status.st_dev, status.st_ino) if stat.S_ISFIFO(status.st_mode) else None


def pending(read_end: int) -> int:
    """Return how many bytes wait in a pipe. Raises OSError."""
    import fcntl  # Windows has neither
    import termios

    count = ctypes.c_int()
    fcntl.ioctl(read_end, termios.FIONREAD, count)
    return count.value

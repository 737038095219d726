"""The last output of a kernel that has ended: the end of its journal, then the rest in its children's pipes.

The kernel gives the executor a read end of each pipe that it makes (see `descriptors`). While the kernel runs, only
the kernel reads them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..in_kernel.journal import LastWords

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = ("stdout", "stderr")
MAX_MESSAGE_BYTES = 256
# More than a pipe holds: a process that keeps writing after the kernel's end is not waited for.
MAX_PIPE_BYTES = 1024 * 1024


class Remains(LastWords):
    """A kernel's journal and pipes. For the kernels' thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # By the id of their cell's message.
        self._read_ends: dict[str, list[int]] = {}
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None

    def open_channel(self) -> int | None:
        """Return the descriptor through which a process can hand its pipes over, if any. Raises OSError."""
        if sys.platform == "win32":
            return None
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        asyncio.get_running_loop().add_reader(self._ours, self._receive)
        return self._theirs.fileno()

    def take_unreceived(self) -> Iterator[tuple[str, str]]:
        """Yield keys and texts not yet received, which now count as received. For an ended kernel. Raises OSError."""
        yield from super().take_unreceived()
        self._receive()
        while self._read_ends:
            message_id, read_ends = self._read_ends.popitem()
            for name, read_end in zip(STREAMS, read_ends, strict=True):
                if text := _read_rest(read_end):
                    yield f"{name} {message_id}", text

    def remove(self) -> None:
        """Remove the file and close the pipes."""
        super().remove()
        for read_ends in self._read_ends.values():
            _close(read_ends)
        self._read_ends.clear()
        if self._ours is not None:
            asyncio.get_running_loop().remove_reader(self._ours)
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
        self._ours = self._theirs = None

    def _receive(self) -> None:
        """Receive the read ends of a cell's pipes, or close those of a cell whose pipes have ended."""
        with suppress(BlockingIOError):
            while self._ours is not None:
                name, read_ends, *_ = socket.recv_fds(self._ours, MAX_MESSAGE_BYTES, len(STREAMS))
                for read_end in read_ends:
                    os.set_inheritable(read_end, False)
                message_id = name.decode("ascii", "replace")
                _close(self._read_ends.pop(message_id, []))
                if len(read_ends) == len(STREAMS):
                    self._read_ends[message_id] = read_ends
                else:
                    _close(read_ends)


def _read_rest(read_end: int) -> str:
    """Return the content of a pipe, and close it."""
    found = bytearray()
    with suppress(OSError):
        while len(found) < MAX_PIPE_BYTES and (piece := os.read(read_end, MAX_PIPE_BYTES)):
            found += piece
    _close([read_end])
    return found.decode("utf-8", "replace")


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)

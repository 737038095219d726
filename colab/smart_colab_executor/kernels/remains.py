"""What is left of a kernel that is gone: the end of its journal, then what its children and C code had written last.

The kernel gives the executor a reading end of each pipe that it makes (see `descriptors`). While the kernel lives it
alone reads them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..in_kernel.journal import LastWords

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = ("stdout", "stderr")
MAX_MESSAGE_BYTES = 256
# More than a pipe holds: what writes on when the kernel is gone is not waited for.
MAX_PIPE_BYTES = 1024 * 1024


class Remains(LastWords):
    """A kernel's journal and pipes. In the kernels' thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # By the id of their cell's message.
        self._read_ends: dict[str, list[int]] = {}
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None

    def channel(self) -> dict[str, Any]:
        """What a process is started with to be able to hand its pipes over. Raises OSError."""
        if sys.platform == "win32":
            return {}
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        asyncio.get_running_loop().add_reader(self._ours, self._receive)
        return {"pass_fds": (self._theirs.fileno(),)}

    @property
    def handle(self) -> int | None:
        """The number that the channel has in the kernel."""
        return None if self._theirs is None else self._theirs.fileno()

    def unheard(self) -> Iterator[tuple[str, str]]:
        """Keys and texts that have not come, and now count as heard. The kernel is gone. Raises OSError."""
        yield from super().unheard()
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
        """Take the reading ends of a cell's pipes, or close those of a cell whose pipes have ended."""
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
    """What is in a pipe now; closes it."""
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

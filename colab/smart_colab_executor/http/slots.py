"""Limits to what is done at once: a slow download, and a request that waits, hold a thread and a connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import Busy

RETRY_AFTER_SEC = 5


class Slots:
    """So many bodies at once. May be asked by many threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    def hold(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Let a body have a slot until it is closed or dropped. Raises Busy, and closes it."""
        held = _Held(body, self._free)
        if not held.is_holding:
            held.close()
            raise Busy(
                f"{self._count} downloads are under way, and no more are served at once.",
                "Wait for one to end; smaller ranges get through in any case.",
                retry_after_sec=RETRY_AFTER_SEC,
            )
        return held


class Seats:
    """So many requests that wait at once, so that the others find the server free. May be asked by many threads."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Have a seat for a while; tells whether there is one."""
        has_one = self._free.acquire(blocking=False)
        try:
            yield has_one
        finally:
            if has_one:
                self._free.release()


class _Held(Iterator[bytes]):
    def __init__(self, body: Iterator[bytes], free: threading.BoundedSemaphore) -> None:
        self._body = body
        self._free = free
        self.is_holding = free.acquire(blocking=False)

    def __next__(self) -> bytes:
        return next(self._body)

    def close(self) -> None:
        if self.is_holding:
            self.is_holding = False
            self._free.release()
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    __del__ = close  # a body that is never begun is not closed either

"""Limits on concurrency: a slow download and a waiting request each hold a thread and a connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import Busy

RETRY_AFTER_SEC = 5


class Slots:
    """Limits the number of bodies streamed at once. Thread-safe."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    def hold(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Give a body a slot until it is closed or dropped. Raises Busy, and closes the body."""
        held = _Held(body, self._free)
        if not held.is_holding:
            held.close()
            raise Busy(
                f"{self._count} downloads are in progress, which is the limit.",
                "Wait for one to finish; ranges up to 1 MiB are always served.",
                retry_after_sec=RETRY_AFTER_SEC,
            )
        return held


class Seats:
    """Limits the number of waiting requests, so that the others find the server free. Thread-safe."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Hold a seat for a while; yield whether one was free."""
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

    __del__ = close  # a body that never started is not closed either

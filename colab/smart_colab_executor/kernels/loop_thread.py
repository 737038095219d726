"""The kernels' thread: an asyncio loop, and the ways into it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An asyncio loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop() if sys.platform == "win32" else asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="kernels", daemon=True)

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    def call(self, function: Callable[[], None]) -> None:
        """Schedule `function` in the loop, after earlier calls, and do not wait for it."""
        self.loop.call_soon_threadsafe(function)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the loop and wait for its result. Not to be called in the loop's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()


_background: set[asyncio.Future[Any]] = set()


def in_background(awaitable: Awaitable[Any]) -> None:
    """Run an awaitable to its end without waiting for it."""
    # The loop holds only weak references to tasks.
    task = asyncio.ensure_future(awaitable)
    _background.add(task)
    task.add_done_callback(_background.discard)

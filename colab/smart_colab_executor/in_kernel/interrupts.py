"""Delivers an interrupt to the user's code exactly once.

Runs in the kernel, as `_smart_colab.interrupts`; standard library only. Between a cell's start and its first line
IPython's own code runs, which swallows a KeyboardInterrupt in some places (a `pre_run_cell` hook, a finalizer). An
interrupt at that time is deferred and raised in the first line. In the user's code, Python's own handler or the user's
receives the signal.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any

# A signal that is ignored by default and rarely used.
_WAKING = getattr(signal, "SIGURG", None)
WAKE_AFTER_SEC = (0.1, 0.2, 0.7)
_RAISE = compile("raise KeyboardInterrupt", "<interrupted before its first line>", "exec")


class Interrupts:
    """Handles SIGINT from the start of a message to the first line of its code. Create it in the main thread."""

    def __init__(self, shell: Any) -> None:
        self._has_begun = False
        self._is_due = False
        self._run_code, shell.run_code = shell.run_code, self._run_user_code
        self._begin, shell.kernel.pre_handler_hook = shell.kernel.pre_handler_hook, self._before_message
        if _WAKING is not None:
            signal.signal(_WAKING, _do_nothing)

    def ensure_delivery(self) -> None:
        """Make sure that a SIGINT sent just now is handled.

        One that arrives between Python's last check for signals and a system call, or in another thread, waits for the
        call's end. A deferred one would wait forever if the code before the first line hangs.
        """
        # Windows interrupts sleeps itself.
        if _WAKING is not None:
            threading.Thread(target=self._wake, args=(_WAKING,), name="interrupt", daemon=True).start()

    def _wake(self, waking: int) -> None:
        main = threading.main_thread().ident or 0
        for pause in WAKE_AFTER_SEC:
            time.sleep(pause)
            # The interrupted call checks for pending signals, which Python flags without counting them.
            if signal.getsignal(waking) is _do_nothing:
                signal.pthread_kill(main, waking)
            if self._is_due:
                signal.pthread_kill(main, signal.SIGINT)

    def _before_message(self) -> None:
        # Before this, the kernel ignores the signal.
        self._has_begun = self._is_due = False
        # Both raise ValueError where this is not the main thread.
        self._begin()
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        was_due, self._is_due = self._is_due, not self._has_begun
        if self._has_begun or was_due:
            signal.default_int_handler(number, frame)

    async def _run_user_code(self, code: Any, result: Any = None, *, async_: bool = False) -> Any:
        self._has_begun = True
        if signal.getsignal(signal.SIGINT) == self._on_signal:
            with suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._is_due:
            self._is_due, code, async_ = False, _RAISE, False
        return await self._run_code(code, result, async_=async_)


class Watch:
    """Tells an interrupt from a KeyboardInterrupt that code raises by itself, while it is entered."""

    has_seen_one = False

    def __enter__(self) -> Watch:
        """Begin, in the main thread; in others there are no interrupts."""
        self._handler: Any = signal.getsignal(signal.SIGINT)
        self._set(self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._set(self._handler)

    def _set(self, handler: Any) -> None:
        if callable(self._handler):
            with suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGINT, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.has_seen_one = True
        self._handler(number, frame)


def _do_nothing(_number: int, _frame: Any) -> None:
    pass

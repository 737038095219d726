"""Brings an interrupt to the user's code, once; standard library alone. It is `_smart_colab.interrupts` in the kernel.

Between a cell's begin and its first line IPython's own code runs, which swallows a KeyboardInterrupt in some places (a
`pre_run_cell` hook, a finalizer). One that comes there is kept and raised in the first line. In the user's code it is
Python's own handler, or the user's, that takes the signal.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any

# A signal that nobody misses: ignored where nobody asks for it.
_WAKING = getattr(signal, "SIGURG", None)
WAKE_AFTER_SEC = (0.1, 0.2, 0.7)
_RAISE = compile("raise KeyboardInterrupt", "<interrupted before its first line>", "exec")


class Interrupts:
    """Takes the kernel's SIGINT from a message's begin to the first line of its code. To be made in the main thread."""

    def __init__(self, shell: Any) -> None:
        self._has_begun = False
        self._is_due = False
        self._run_code, shell.run_code = shell.run_code, self._run_user_code
        self._begin, shell.kernel.pre_handler_hook = shell.kernel.pre_handler_hook, self._before_message
        if _WAKING is not None:
            signal.signal(_WAKING, _do_nothing)

    def insist(self) -> None:
        """See to it that a SIGINT that was sent just now is seen.

        One that comes between Python's last look for signals and a system call, or to another thread, waits for that
        call's end. One that is kept for a first line waits for ever where what comes before it hangs.
        """
        # Windows wakes what sleeps.
        if _WAKING is not None:
            threading.Thread(target=self._wake, args=(_WAKING,), name="interrupt", daemon=True).start()

    def _wake(self, waking: int) -> None:
        main = threading.main_thread().ident or 0
        for pause in WAKE_AFTER_SEC:
            time.sleep(pause)
            # What the signal interrupts looks for others, which Python notes without counting them.
            if signal.getsignal(waking) is _do_nothing:
                signal.pthread_kill(main, waking)
            if self._is_due:
                signal.pthread_kill(main, signal.SIGINT)

    def _before_message(self) -> None:
        # Until now the kernel ignored the signal.
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
            with suppress(ValueError):  # a thread's
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._is_due:
            self._is_due, code, async_ = False, _RAISE, False
        return await self._run_code(code, result, async_=async_)


def _do_nothing(_number: int, _frame: Any) -> None:
    pass

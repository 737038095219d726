"""Brings an interrupt to the user's code, once; standard library alone. It is `_smart_colab.interrupts` in the kernel.

Between a cell's begin and its first line IPython's own code runs, which swallows a KeyboardInterrupt in some places (a
`pre_run_cell` hook, a finalizer). One that comes there is kept and raised in the first line.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

# So long Python may take to see a signal that has come to the process.
PATIENCE_SEC = 0.2
_RAISE = compile("raise KeyboardInterrupt", "<interrupted before its first line>", "exec")


class Interrupts:
    """Takes the kernel's SIGINT while a message is handled."""

    def __init__(self, shell: Any) -> None:
        self._has_begun = False
        self._is_due = False
        self._began_at = self._seen_at = 0.0
        self._run_code, shell.run_code = shell.run_code, self._run_user_code
        self._begin, shell.kernel.pre_handler_hook = shell.kernel.pre_handler_hook, self._before_message

    def insist(self, sent_at: float) -> None:
        """See to it that Python sees a SIGINT that was sent at that time (of the monotonic clock).

        One that came between Python's last look for signals and a system call would wait for that call's end.
        """
        if hasattr(signal, "pthread_kill") and self._is_unseen(sent_at):
            timer = threading.Timer(PATIENCE_SEC, self._send_again, (sent_at,))
            timer.daemon = True
            timer.start()

    def _send_again(self, sent_at: float) -> None:
        # Python notes signals without counting them: to the code both are one.
        if self._is_unseen(sent_at):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _is_unseen(self, sent_at: float) -> bool:
        # It was meant for the message that was handled then.
        is_meant = self._began_at < sent_at
        return is_meant and self._seen_at < sent_at and signal.getsignal(signal.SIGINT) == self._on_signal

    def _before_message(self) -> None:
        # Until now the kernel ignored the signal.
        self._has_begun = self._is_due = False
        self._began_at = time.monotonic()
        self._begin()
        # Where it is not the main thread this raises ValueError, and so did the call before it.
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._seen_at = time.monotonic()
        if self._has_begun:
            signal.default_int_handler(number, frame)
        self._is_due = True

    async def _run_user_code(self, code: Any, result: Any = None, *, async_: bool = False) -> Any:
        self._has_begun = True
        if self._is_due:
            self._is_due, code, async_ = False, _RAISE, False
        return await self._run_code(code, result, async_=async_)

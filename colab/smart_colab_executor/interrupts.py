"""Brings an interrupt to the user's code, once; standard library alone. It is `_smart_colab.interrupts` in the kernel.

Between a cell's begin and its first line IPython's own code runs, which swallows a KeyboardInterrupt in some places (a
`pre_run_cell` hook, a finalizer). One that comes there is kept and raised in the first line.
"""

from __future__ import annotations

import signal
from typing import Any

_RAISE = compile("raise KeyboardInterrupt", "<interrupted before its first line>", "exec")


class Interrupts:
    """Takes the kernel's SIGINT while a message is handled."""

    def __init__(self, shell: Any) -> None:
        self._has_begun = False
        self._is_due = False
        self._run_code, shell.run_code = shell.run_code, self._run_user_code
        self._begin, shell.kernel.pre_handler_hook = shell.kernel.pre_handler_hook, self._before_message

    def _before_message(self) -> None:
        # Until now the kernel ignored the signal.
        self._has_begun = self._is_due = False
        self._begin()
        # Where it is not the main thread this raises ValueError, and so did the call before it.
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._has_begun:
            signal.default_int_handler(number, frame)
        self._is_due = True

    async def _run_user_code(self, code: Any, result: Any = None, *, async_: bool = False) -> Any:
        self._has_begun = True
        if self._is_due:
            self._is_due, code, async_ = False, _RAISE, False
        return await self._run_code(code, result, async_=async_)

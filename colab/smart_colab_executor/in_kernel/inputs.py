"""Has the user asked for what `input()` reads, where the job's sender can ask them.

Runs in the kernel, as `_smart_colab.inputs`; standard library only. ipykernel asks over a channel of its own, where an
answer names no question and comes in no order with the output. Here a question follows the output before it, and an
answer is a request of the executor's.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from .messages import MAY_ASK, QUESTION_TYPE, WITHDRAWN_TYPE

if TYPE_CHECKING:
    from .kernel_output import Output

# On Windows an interrupt does not end a wait.
POLL_INTERVAL_SEC = 0.1
DECLINED = "input() was called, and the user declined to answer"
ELSEWHERE = "input() was called outside of the cell's own thread, where it cannot be answered"


class Inputs:
    """Asks one question at a time, for the main thread. Create it there."""

    def __init__(self, shell: Any, output: Output) -> None:
        self._kernel, self._output = shell.kernel, output
        self._refuse, shell.kernel.raw_input = shell.kernel.raw_input, self._read
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._number = 0
        # Whether the latest question waits.
        self._waits = False
        self._answered = threading.Event()
        self._value: str | None = None

    def answer(self, number: int, value: str | None) -> bool:
        """Answer a question, None if the user declined; return whether it was waiting. Called in another thread."""
        with self._lock:
            if not (self._waits and number == self._number):
                return False
            self._waits, self._value = False, value
        self._answered.set()
        return True

    def _read(self, prompt: object = "") -> str:
        parent = self._kernel.get_parent("shell")
        if not parent.get("content", {}).get(MAY_ASK):
            return self._refuse(prompt)  # type: ignore[no-any-return]
        unanswered = sys.modules["IPython.core.error"].StdinNotImplementedError
        is_main = threading.current_thread() is threading.main_thread() and os.getpid() == self._pid
        if not is_main or self._waits:  # in a thread, a fork or a signal's handler
            raise unanswered(ELSEWHERE)
        text = str(prompt)
        sys.stdout.write(text)
        self._output.flush()
        value = self._ask(text, parent)
        if value is None:
            raise unanswered(DECLINED)
        sys.stdout.write("\n")  # as the user's Enter in a terminal
        return value

    def _ask(self, prompt: str, parent: dict[str, Any]) -> str | None:
        self._answered.clear()
        with self._lock:
            self._number += 1
            self._waits = True
        try:
            self._output.send(QUESTION_TYPE, {"number": self._number, "prompt": prompt}, parent)
            while not self._answered.wait(POLL_INTERVAL_SEC):
                pass
        finally:
            with self._lock:
                is_withdrawn, self._waits = self._waits, False
            if is_withdrawn:  # interrupted, or by another exception of a signal's handler
                self._output.send(WITHDRAWN_TYPE, {"number": self._number}, parent)
        return self._value

"""Has the user asked for what `input()` reads, where the job's sender can ask them.

Runs in the kernel, as `_smart_colab.inputs`; standard library only. ipykernel asks over a channel of its own, where an
answer names no question and comes in no order with the output. Here a question follows the output before it, and an
answer is a request of the executor's.
"""

from __future__ import annotations

import builtins
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from .messages import MAY_ASK, QUESTION_TYPE, WITHDRAWN_TYPE

if TYPE_CHECKING:
    from .kernel_output import Output

# On Windows an interrupt does not end a wait.
POLL_INTERVAL_SEC = 0.1
NOBODY = "input() was called, but there is nobody to answer it here"
DECLINED = "input() was called, and the user declined to answer"
UNANSWERED = "input() was called, and the question was not answered (it was closed, or the client failed to ask it)"
END = "EOF when reading a line"  # Python's own words
# A loop that catches the error and asks again must not flood the user.
MAX_UNANSWERED = 3
NO_MORE = f"input() asks no more in this job: {MAX_UNANSWERED} questions in a row were not answered"
ELSEWHERE = "input() was called outside of the cell's own thread, where it cannot be answered"


class Inputs:
    """Asks one question at a time, for the main thread. Create it there."""

    def __init__(self, shell: Any, output: Output) -> None:
        self._kernel, self._output = shell.kernel, output
        # Raises Python's own errors for wrong arguments.
        self._input, shell.kernel.raw_input = builtins.input, self._read
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._number = 0
        # Whether the latest question waits.
        self._waits = False
        self._answered = threading.Event()
        self._value: str | None = None
        self._reason: str | None = None
        # Questions in a row without an answer, and the request that ran their code.
        self._unanswered = 0
        self._asker: object = None

    def answer(self, number: int, value: str | None, reason: str | None) -> bool:
        """Answer a question, None for the `reason`; return whether it was waiting. Called in another thread."""
        with self._lock:
            if not (self._waits and number == self._number):
                return False
            self._waits, self._value, self._reason = False, value, reason
        self._answered.set()
        return True

    def _read(self, *arguments: object, **options: object) -> str:
        if len(arguments) > 1 or options:
            return self._input(*arguments, **options)
        parent = self._kernel.get_parent("shell")
        unanswered = sys.modules["IPython.core.error"].StdinNotImplementedError
        if not parent.get("content", {}).get(MAY_ASK):
            raise unanswered(NOBODY)
        is_main = threading.current_thread() is threading.main_thread() and os.getpid() == self._pid
        if not is_main or self._waits:  # in a thread, a fork or a signal's handler
            raise unanswered(ELSEWHERE)
        asker = parent["header"]["msg_id"]
        if asker != self._asker:
            self._asker, self._unanswered = asker, 0
        if self._unanswered == MAX_UNANSWERED:
            raise EOFError(END) if self._reason == "end" else unanswered(NO_MORE)
        text = "".join(map(str, arguments))
        sys.stdout.write(text)
        self._output.flush()
        try:
            value = self._ask(text, parent)
        except KeyboardInterrupt as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904 - the same one, without the frames of the wait
        finally:
            sys.stdout.write("\n")  # as the user's Enter in a terminal
        if value is not None:
            self._unanswered = 0
            return value
        self._unanswered += 1
        if self._reason == "end":
            raise EOFError(END)
        raise unanswered(DECLINED if self._reason == "declined" else UNANSWERED)

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

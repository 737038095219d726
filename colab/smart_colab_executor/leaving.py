"""The end of a kernel that its own code asks for: `exit()`, a stopped event loop, an exit in a task.

Runs in the kernel, as `_smart_colab.leaving`; standard library alone. A kernel that leaves by itself goes on answering
for a while, or for ever where a thread of the user's lives on. So it only says that it is to go, and takes no more
code; the executor ends it when it has all of its output.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kernel_output import Output
    from .loop_runner import LoopRunner

# Its content's `final`: nothing that was sent and has not begun will.
EXIT_TYPE = "smart_colab_exit"


class Leaving:
    """What makes this kernel leave, turned into a message."""

    def __init__(self, shell: Any, output: Output, loop_runner: LoopRunner) -> None:
        self._shell, self._output, self._loop_runner = shell, output, loop_runner
        self.is_due = False
        self._pid = os.getpid()
        kernel = shell.kernel
        self._ask_exit, shell.ask_exit = shell.ask_exit, self._exit_called
        # A shutdown sets it; ipykernel stops the event loop 0.1 s later.
        shell.observe(self._exit_now, "exit_now")
        with suppress(AttributeError):  # an event loop in C cannot be changed
            kernel.io_loop.asyncio_loop.stop = self.ask
        self._execute, kernel.shell_handlers["execute_request"] = (
            kernel.shell_handlers["execute_request"],
            self._execute_request,
        )
        # An exit in a task or a callback ends the event loop, and the main thread with it. This comes before the
        # threads are waited for.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            register(self._main_thread_ended)

    def ask(self) -> None:
        """Have the executor end this kernel once the running cell is done. Raises ExitCalled in a loop's iteration."""
        if not self.is_due and os.getpid() == self._pid:
            self.is_due = True
            self._output.send(EXIT_TYPE, {"final": False}, self._shell.kernel.get_parent("shell"))
        if threading.current_thread() is threading.main_thread():
            self._loop_runner.exit()

    def _exit_called(self) -> None:
        if self._shell.keepkernel_on_exit:
            self._ask_exit()
        else:
            self.ask()

    def _exit_now(self, change: Any) -> None:
        if change["new"]:
            self.ask()

    def _execute_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> Any:
        if not self.is_due:
            return self._execute(stream, ident, parent)
        session = self._shell.kernel.session
        session.send(stream, "execute_reply", {"status": "aborted"}, parent, ident=ident)
        return None

    def _main_thread_ended(self) -> None:
        if os.getpid() != self._pid:
            return  # a fork's
        self.is_due = True
        self._output.flush()
        self._output.send(EXIT_TYPE, {"final": True}, {})
        main = threading.main_thread()
        if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
            os._exit(0)  # which waits until this is heard

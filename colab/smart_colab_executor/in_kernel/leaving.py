"""A kernel's exit at the request of its code: `exit()`, a stopped event loop, an exit in a task.

Runs in the kernel, as `_smart_colab.leaving`; standard library only. A kernel that exits by itself keeps answering for
a while, or forever if a thread of the user's keeps running. So it only announces its exit and refuses further code;
the executor kills it once it has received all output. IPython treats `exit(1)` as a request to keep the kernel, runs
the statements after an `exit()`, and hides the name from scripts and modules; here it ends its cell like a script.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from .messages import EXIT_TYPE, CellExited
from .winding_up import wind_up

if TYPE_CHECKING:
    from .kernel_output import Output
    from .loop_runner import LoopRunner


class Leaving:
    """Turns every request to exit into a message to the executor."""

    def __init__(self, shell: Any, output: Output, loop_runner: LoopRunner) -> None:
        self._shell, self._output, self._loop_runner = shell, output, loop_runner
        self.is_due = False
        self._pid = os.getpid()
        kernel = shell.kernel
        shell.ask_exit = self.ask
        type(shell.exiter).__call__ = lambda _exiter, *arguments, **options: self._exit(*arguments, **options)
        shell.builtin_trap.auto_builtins |= {"exit": _exit_script, "quit": _exit_script}
        self._show, shell.showtraceback = shell.showtraceback, self._show_traceback
        # Set by a shutdown; ipykernel stops the event loop 0.1 s later.
        shell.observe(self._exit_now, "exit_now")
        with suppress(AttributeError):  # an event loop in C cannot be patched
            kernel.io_loop.asyncio_loop.stop = self.ask
        self._execute, kernel.shell_handlers["execute_request"] = (
            kernel.shell_handlers["execute_request"],
            self._execute_request,
        )
        # An exit in a task or a callback ends the event loop, and the main thread with it. This hook runs before the
        # interpreter waits for other threads.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            register(self._main_thread_ended)

    def ask(self) -> None:
        """Ask the executor to end this kernel after the running cell. Raises ExitCalled in a loop's iteration."""
        if not self.is_due and os.getpid() == self._pid:
            self.is_due = True
            self._output.send(EXIT_TYPE, {"final": False}, self._shell.kernel.get_parent("shell"))
        if threading.current_thread() is threading.main_thread():
            self._loop_runner.exit()

    def _exit(self, code: object = None, *, keep_kernel: bool = False) -> NoReturn:
        """End the cell: with a code like `sys.exit(code)`, without one together with the kernel."""
        if code is not None or os.getpid() != self._pid:
            raise SystemExit(code)
        if not keep_kernel:
            self.ask()
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit  # ends a thread silently
        raise CellExited

    def _show_traceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> Any:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        return None if isinstance(error, CellExited) else self._show(exc_tuple, *arguments, **options)

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
            return  # in a fork
        self.is_due = True
        self._output.flush()
        self._output.send(EXIT_TYPE, {"final": True}, {})
        self._output.continue_cell()
        wind_up()
        os._exit(0)  # waits until all is received


def _exit_script(code: object = None) -> NoReturn:
    raise SystemExit(code)

"""The executor's extension of a kernel of someone's notebook, in which it runs as the module `_smart_colab`.

It answers the executor's requests, and runs the executor's cells. Everything else in that kernel stays as it is: other
clients' cells, their output and errors, the namespace. Standard library only, and the oldest Python that the
executor supports.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from . import cleanup, loading, requests, saving
from .loop_runner import LoopRunner
from .messages import USERNAME
from .variables import listing, user_variables

if TYPE_CHECKING:
    from collections.abc import Callable

# More than the executor can ask about.
MAX_BEGUN_REMEMBERED = 1000

_shell: Any = None
_identity = ""
# Guards the next three: a cell that has not begun is either withdrawn or interrupted, and no other one ever is.
_lock = threading.Lock()
_running: str | None = None
_withdrawn: set[str] = set()
_begun: deque[str] = deque(maxlen=MAX_BEGUN_REMEMBERED)
# The arguments of loops, by the message whose cell is the body.
_loops: dict[str, dict[str, Any]] = {}


def install(shell: Any) -> None:
    """Set up this kernel. An executor that finds the extension of an earlier one replaces it."""
    global _shell, _identity
    _shell = shell
    kernel = shell.kernel
    # Same id, same variables.
    _identity = vars(kernel).setdefault("smart_colab_id", str(uuid.uuid4()))
    handler = kernel.shell_handlers["execute_request"]
    execute = getattr(handler, "smart_colab_original", handler)

    def execute_request(stream: Any, ident: Any, parent: dict[str, Any]) -> Any:
        if not str(parent["header"].get("username")).startswith(USERNAME) or parent["content"].get("silent"):
            return execute(stream, ident, parent)
        return _execute(execute, stream, ident, parent)

    execute_request.smart_colab_original = execute  # type: ignore[attr-defined]
    kernel.shell_handlers["execute_request"] = execute_request
    requests.install(kernel, OPERATIONS)


async def _execute(execute: Callable[..., Any], stream: Any, ident: Any, parent: dict[str, Any]) -> None:
    """Run a cell of the executor's, unless it was withdrawn."""
    global _running
    message_id = parent["header"]["msg_id"]
    loop = _loops.pop(message_id, None)
    with _lock:
        is_withdrawn = message_id in _withdrawn or _has_ended(int(parent["header"]["username"][len(USERNAME) :]))
        _withdrawn.discard(message_id)
        if not is_withdrawn:
            _running = message_id
            _begun.append(message_id)
    if is_withdrawn:
        _shell.kernel.session.send(stream, "execute_reply", {"status": "aborted"}, parent, ident=ident)
        return
    runner = _begin_loop(**loop) if loop else None
    try:
        # ipykernel 5 returns no coroutine.
        if (running := execute(stream, ident, parent)) is not None:
            await running
    finally:
        if runner is not None:
            runner.remove()
        with _lock:
            _running = None


def _has_ended(executor: int) -> bool:
    """Return whether an executor was killed, which then has reported its jobs as lost."""
    if sys.platform != "win32":  # where this signal would kill
        try:
            os.kill(executor, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
    return False


# --- requests ---------------------------------------------------------------------------------------------------------


def introduce() -> dict[str, Any]:
    """Return what is known of this process only here."""
    return {"pid": os.getpid(), "id": _identity, "execution_count": _shell.execution_count - 1}


def interrupt(messages: list[str]) -> list[str]:
    """Raise KeyboardInterrupt in the running one of these messages; withdraw and return those that have not begun."""
    with _lock:
        waiting = [message for message in messages if message not in _begun]
        _withdrawn.update(waiting)
        if _running in messages:
            if sys.platform == "win32":
                _thread.interrupt_main()
            else:
                # The main thread, so that it wakes from a system call.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    # Wakes a waiting event loop, so that an `await` ends.
    _shell.kernel.io_loop.add_callback(lambda: None)
    return waiting


def variables(pattern: str | None = None) -> dict[str, Any]:
    """Return the user's variables, the largest first; runs none of the user's code."""
    return listing(user_variables(_shell), pattern)


def clean_up(names: list[str], until: float) -> dict[str, Any]:
    """Clear the variables of these names; not after the time `until`, when the executor no longer waits."""
    if time.time() > until:
        raise TimeoutError
    return cleanup.clear_named(_shell, names)


def prepare_loop(message: str, **arguments: Any) -> None:
    """Make the cell of this message the body of a loop."""
    _loops[message] = arguments


OPERATIONS: dict[str, Callable[..., Any]] = {
    "introduce": introduce,
    "interrupt": interrupt,
    "variables": variables,
    "cleanup": clean_up,
    "prepare_loop": prepare_loop,
}


# --- saved sessions ---------------------------------------------------------------------------------------------------


def save_variables(root: str, path: str, names: list[str] | None = None) -> None:
    """Save the session's variables to a file below `root`; a cell calls this. Raises SessionError."""
    saving.save(_shell, root, path, names)


def load_variables(root: str, path: str, names: list[str] | None = None, *, overwrite: bool = False) -> None:
    """Load the variables of a file below `root`; a cell calls this. Raises SessionError."""
    loading.load(_shell, root, path, names, overwrite=overwrite)


# --- loops ------------------------------------------------------------------------------------------------------------


class GuestOutput:
    """The kernel's output as a loop needs it: a report is sent after all that was printed before it."""

    is_fresh = True
    before: Callable[[], None] | None = None

    def settle(self) -> None:
        """Do nothing: a kernel orders what its children print itself."""

    def flush(self) -> None:
        """Send all text written so far."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()

    def send(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send a message of our own."""
        _shell.kernel.session.send(_shell.kernel.iopub_socket, kind, content, parent=parent)

    def later(self, _seconds: float, call: Callable[[], None]) -> None:
        """Call it at once: every report of such a loop is announced when it is made."""
        call()


def _begin_loop(**arguments: Any) -> LoopRunner:
    runner = LoopRunner(_shell, GuestOutput())
    runner.prepare(**arguments)
    runner.install()
    # What a rewritten loop calls.
    for function in (
        runner.iterations,
        runner.run_on_cluster,
        runner.keep_result,
        runner.skip_error,
        runner.finish_loop,
        runner.end_loop,
    ):
        globals()[function.__name__] = function
    return runner

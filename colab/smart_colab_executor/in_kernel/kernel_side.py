"""The executor's extension of its kernels, in which it runs as the module `_smart_colab`; standard library only.

It answers `smart_colab_request` messages on the shell and the control channel (the control channel has its own thread,
so it answers while a cell runs), and sets up the kernel's output, figures and loops. It adds no name to the user's
namespace.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from . import figures, origins, packing, pools, questions
from .current_folder import CurrentFolder
from .forks import Forks
from .interrupts import Interrupts
from .kernel_output import Output
from .leaving import Leaving
from .loop_runner import LoopRunner
from .payloads import Payloads
from .tracebacks import Tracebacks
from .variables import listing, user_variables

if sys.platform != "win32":
    from . import shell_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGE_TYPE = "smart_colab_request"
REPLY_TYPE = "smart_colab_reply"

_shell: Any = None
_output: Output
_loop_runner: LoopRunner
_interrupts: Interrupts


def install(shell: Any) -> None:
    """Set up this kernel; called once, at its start."""
    global _shell, _output, _loop_runner, _interrupts
    _shell = shell
    kernel = shell.kernel
    # The user's `argparse`, `unittest` or `absl` must not see the launcher's arguments.
    sys.argv[:] = ["cell"]
    for handlers in (kernel.control_handlers, kernel.shell_handlers):
        handlers[MESSAGE_TYPE] = _handle
    packing.install(kernel.session)
    _output = Output(kernel)
    origins.install(Forks(shell, _output.streams).end_child)
    pools.install()
    _loop_runner = LoopRunner(shell, _output)
    figures.install(shell)
    _interrupts = Interrupts(shell)
    questions.install(shell, Tracebacks(shell))
    if sys.platform != "win32":
        shell_commands.install(shell)
    CurrentFolder(shell, _output.streams[1])
    Payloads(shell)
    Leaving(shell, _output, _loop_runner)


# --- requests ---------------------------------------------------------------------------------------------------------


def _handle(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
    content = dict(parent["content"])
    try:
        reply = {"ok": True, "value": OPERATIONS[content.pop("operation")](**content)}
    except Exception as error:  # noqa: BLE001, RUF100 - must not end the kernel's thread
        reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    _shell.kernel.session.send(stream, REPLY_TYPE, reply, parent, ident=ident)


def variables() -> dict[str, Any]:
    """Return the user's variables, sorted by name; runs none of the user's code."""
    return listing(user_variables(_shell))


def cleanup() -> dict[str, Any]:
    """Clear the user's variables and figures, and free memory; return what was cleared."""
    names = sorted(user_variables(_shell))
    for name in names:
        _shell.user_ns.pop(name, None)
    # Out, _, __, ___ and the last traceback still refer to cleared values.
    _shell.displayhook.flush()
    for name in ("last_traceback", "last_value", "last_type", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    figures = 0
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        figures = len(pyplot.get_fignums())
        pyplot.close("all")
    collected = gc.collect()
    return {
        "cleared_variables": names,
        "collected_objects": collected,
        "cuda_cache_emptied": _empty_cuda_cache(),
        "figures_closed": figures,
    }


def guard_output(journal: str, handle: int | None) -> None:
    """Protect output by the executor's `journal`, a file, and `handle`, a socket. Not to be called by a cell."""
    _output.guard(journal, handle)


def acknowledge_leaving() -> None:
    """Note that the executor has received all output sent before the kernel announced its exit."""
    _output.received.set()


def prepare_loop(start: int, stop: int, total: int, on_error: str, reports: str) -> None:
    """Make the next cell the body of a loop that reports to the file `reports`."""
    _loop_runner.prepare(start, stop, total, reports, skip_errors=on_error == "skip")


def ensure_interrupt() -> None:
    """Make sure that an interrupt sent just now reaches the code."""
    _interrupts.ensure_delivery()
    # Wakes a waiting event loop, so that it handles the signal; otherwise an `await` is not interrupted.
    _shell.kernel.io_loop.add_callback(lambda: None)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "guard_output": guard_output,
    "acknowledge_leaving": acknowledge_leaving,
    "variables": variables,
    "cleanup": cleanup,
    "prepare_loop": prepare_loop,
    "ensure_interrupt": ensure_interrupt,
}


def _empty_cuda_cache() -> bool:
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return False
        torch.cuda.empty_cache()
    except Exception:  # noqa: BLE001, RUF100
        return False
    return True


# --- loops ------------------------------------------------------------------------------------------------------------


def iterations() -> Iterator[int]:
    """Return the iterator of a rewritten loop."""
    return _loop_runner.iterations()


def keep_result(value: object) -> None:
    """Store the value of the body's last expression."""
    _loop_runner.keep_result(value)


def skip_error() -> None:
    """Note the exception of a skipped iteration."""
    _loop_runner.skip_error()


def finish_loop() -> None:
    """Report the iteration that broke out of the loop."""
    _loop_runner.finish_loop()


def end_loop() -> None:
    """Release the loop, however it ended."""
    _loop_runner.end_loop()

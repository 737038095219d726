"""The executor's extension of its kernels, in which it runs as the module `_smart_colab`; standard library only.

It answers the executor's requests, and sets up the kernel's output, figures and loops. It adds no name to the user's
namespace. A kernel that is not the executor's own has `guest` in its place.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from . import cleanup, figures, loading, origins, packing, pools, questions, requests, saving, winding_up
from .current_folder import CurrentFolder
from .forks import Forks
from .inputs import Inputs
from .interrupts import Interrupts
from .kernel_output import Output
from .leaving import Leaving
from .loop_runner import LoopRunner
from .messages import LOOP
from .own_modules import OwnModules
from .payloads import Payloads
from .tracebacks import Tracebacks
from .variables import listing, user_variables

if sys.platform != "win32":
    from . import shell_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_shell: Any = None
_output: Output
_loop_runner: LoopRunner
_interrupts: Interrupts
_inputs: Inputs


def install(shell: Any) -> None:
    """Set up this kernel; called once, at its start."""
    global _shell, _output, _loop_runner, _interrupts, _inputs
    _shell = shell
    kernel = shell.kernel
    # The user's `argparse`, `unittest` or `absl` must not see the launcher's arguments.
    sys.argv[:] = ["cell"]
    # It makes a record of every message, which its handler then drops.
    kernel.log.setLevel(logging.WARNING)
    requests.install(kernel, OPERATIONS)
    packing.install(kernel.session)
    _output = Output(kernel)
    origins.install(Forks(shell, _output.streams).end_child)
    pools.install()
    _loop_runner = LoopRunner(shell, _output)
    _loop_runner.install()
    _prepare_loops(kernel)
    # IPython 9 keeps the output of every cell forever.
    shell.events.register("post_execute", getattr(shell.history_manager, "outputs", {}).clear)
    figures.install(shell)
    _interrupts = Interrupts(shell)
    own_modules = OwnModules()
    own_modules.report_written(shell, _output.streams[1])
    questions.install(shell, Tracebacks(shell, own_modules))
    _inputs = Inputs(shell, _output)
    if sys.platform != "win32":
        shell_commands.install(shell, _output)
    CurrentFolder(shell, _output.streams[1])
    Payloads(shell)
    winding_up.install()
    Leaving(shell, _output, _loop_runner)


# --- requests ---------------------------------------------------------------------------------------------------------


def variables(pattern: str | None = None) -> dict[str, Any]:
    """Return the user's variables, the largest first; runs none of the user's code."""
    return listing(user_variables(_shell), pattern)


def clean_up(names: list[str] | None, until: float) -> dict[str, Any]:
    """Clear the user's variables, or those of these names, and free memory; return what was cleared.

    Not after the time `until`, when the executor no longer waits.
    """
    if time.time() > until:
        raise TimeoutError
    return cleanup.clear_all(_shell) if names is None else cleanup.clear_named(_shell, names)


def guard_output(journal: str, handle: int | None) -> None:
    """Protect output by the executor's `journal`, a file, and `handle`, a socket. Not to be called by a cell."""
    _output.guard(journal, handle)


def acknowledge_leaving() -> None:
    """Note that the executor has received all output sent before the kernel announced its exit."""
    _output.received.set()


def wind_up() -> None:
    """Do what Python does at a script's end; the executor kills this kernel next."""
    _output.continue_cell()
    winding_up.wind_up()
    if _output.is_fresh:
        _output.wait_until_received()


def ensure_interrupt() -> None:
    """Make sure that an interrupt sent just now reaches the code."""
    _interrupts.ensure_delivery()
    # Wakes a waiting event loop, so that it handles the signal; otherwise an `await` is not interrupted.
    _shell.kernel.io_loop.add_callback(lambda: None)


def answer(number: int, value: str | None, reason: str | None) -> bool:
    """Answer a question of `input()`, None for the `reason`; return whether it was waiting."""
    return _inputs.answer(number, value, reason)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "guard_output": guard_output,
    "acknowledge_leaving": acknowledge_leaving,
    "variables": variables,
    "cleanup": clean_up,
    "wind_up": wind_up,
    "ensure_interrupt": ensure_interrupt,
    "answer": answer,
}


# --- saved sessions ---------------------------------------------------------------------------------------------------


def save_variables(root: str, path: str, names: list[str] | None = None) -> None:
    """Save the session's variables to a file below `root`; a cell calls this. Raises SessionError."""
    saving.save(_shell, root, path, names)


def load_variables(root: str, path: str, names: list[str] | None = None, *, overwrite: bool = False) -> None:
    """Load the variables of a file below `root`; a cell calls this. Raises SessionError."""
    loading.load(_shell, root, path, names, overwrite=overwrite)


# --- loops ------------------------------------------------------------------------------------------------------------


def _prepare_loops(kernel: Any) -> None:
    """Make a cell that comes with a loop's arguments the body of the loop."""
    execute = kernel.shell_handlers["execute_request"]

    def execute_request(stream: Any, ident: Any, parent: dict[str, Any]) -> Any:
        if (loop := parent["content"].get(LOOP)) is not None:
            _loop_runner.prepare(**loop)
        return execute(stream, ident, parent)

    kernel.shell_handlers["execute_request"] = execute_request


def iterations() -> Iterator[int]:
    """Return the iterator of a rewritten loop."""
    return _loop_runner.iterations()


def run_on_cluster() -> None:
    """Run the prepared loop on a cluster."""
    _loop_runner.run_on_cluster()


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

"""What the executor adds to each of its kernels, where it runs as the module `_smart_colab`; standard library alone.

It answers `smart_colab_request` messages on the shell and the control channel (the control channel has a thread of its
own, so it answers while a cell runs), and sets up the kernel's output, figures and loops. It leaves no name in the
namespace.
"""

from __future__ import annotations

import gc
import reprlib
import sys
from contextlib import suppress
from itertools import islice
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from . import figures
from .interrupts import Interrupts
from .kernel_output import Output
from .loop_runner import LoopRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGE_TYPE = "smart_colab_request"
REPLY_TYPE = "smart_colab_reply"
MAX_VARIABLES = 500
MAX_REPR_CHARS = 200
# Libraries whose `len` costs nothing.
SIZED = {
    "array",
    "builtins",
    "collections",
    "jax",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "tensorflow",
    "torch",
}


_shell: Any = None
_output: Output
_loop_runner: LoopRunner
_interrupts: Interrupts


def install(shell: Any) -> None:
    """Hook into this kernel; called once, at its start."""
    global _shell, _output, _loop_runner, _interrupts
    _shell = shell
    kernel = shell.kernel
    for handlers in (kernel.control_handlers, kernel.shell_handlers):
        handlers[MESSAGE_TYPE] = _handle
    _output = Output(kernel)
    _loop_runner = LoopRunner(shell, _output)
    figures.install()
    _interrupts = Interrupts(shell)


# --- requests ---------------------------------------------------------------------------------------------------------


def _handle(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
    content = dict(parent["content"])
    try:
        reply = {"ok": True, "value": OPERATIONS[content.pop("operation")](**content)}
    except Exception as error:  # noqa: BLE001, RUF100 - it must not end the kernel's own thread
        reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    _shell.kernel.session.send(stream, REPLY_TYPE, reply, parent, ident=ident)


def variables() -> dict[str, Any]:
    """The user's variables, sorted by name; nothing of the user's own code is called."""
    found = _user_variables()
    names = sorted(found)
    return {"variables": [describe(name, found[name]) for name in names[:MAX_VARIABLES]], "total": len(names)}


def cleanup() -> dict[str, Any]:
    """Clear what the user made, then give memory back."""
    names = sorted(_user_variables())
    for name in names:
        _shell.user_ns.pop(name, None)
    # Out, _, __, ___ and the last traceback hold on to what was cleared.
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


def guard_output(journal: str) -> None:
    """Let no output be lost; the executor has made the file `journal`. Not to be called by a cell."""
    _output.guard(journal)


def hear_leaving() -> None:
    """The executor has all that came before the kernel said that it leaves."""
    _output.heard.set()


def prepare_loop(start: int, stop: int, total: int, on_error: str, reports: str) -> None:
    """Make the next cell the body of a loop that reports to the file `reports`."""
    _loop_runner.prepare(start, stop, total, reports, skip_errors=on_error == "skip")


def insist_on_interrupt() -> None:
    """See to it that an interrupt that was sent just now reaches the code."""
    _interrupts.insist()
    # A loop that only waits looks at the signals it got; without this an `await` is not interrupted.
    _shell.kernel.io_loop.add_callback(lambda: None)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "guard_output": guard_output,
    "hear_leaving": hear_leaving,
    "variables": variables,
    "cleanup": cleanup,
    "prepare_loop": prepare_loop,
    "insist_on_interrupt": insist_on_interrupt,
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


# --- variables --------------------------------------------------------------------------------------------------------


def _user_variables() -> dict[str, Any]:
    hidden = _shell.user_ns_hidden
    return {
        name: value
        for name, value in list(_shell.user_ns.items())
        if not name.startswith("_")
        and not issubclass(type(value), (ModuleType, FunctionType, type))
        and not (name in hidden and hidden[name] is value)
        and name not in ("In", "Out", "exit", "quit", "open", "get_ipython")
    }


def describe(name: str, value: object) -> dict[str, Any]:
    """One row of the listing."""
    kind = type(value)
    row: dict[str, Any] = {
        "name": name,
        "type": kind.__name__,
        "shape": None,
        "length": None,
        "bytes": None,
        "repr": "",
    }
    for field, measure in (("shape", _shape), ("length", _length), ("bytes", _bytes), ("repr", _short.repr)):
        with suppress(Exception):  # a property of a half-built object may raise anything
            row[field] = measure(value)
    row["repr"] = row["repr"][:MAX_REPR_CHARS]
    return row


def _is_library(kind: type) -> bool:
    """Whether the class comes from a library; calling the user's own methods could take for ever."""
    return all(base.__module__ != "__main__" for base in kind.__mro__)


def _shape(value: Any) -> list[int] | None:
    if type(value).__module__ == "builtins" or not _is_library(type(value)):
        return None
    shape = getattr(value, "shape", None)
    return [int(size) for size in shape] if isinstance(shape, tuple) else None


def _length(value: Any) -> int | None:
    """Only where it is known to be there already: a lazy table's length may be a computation of hours."""
    kind = type(value)
    return len(value) if kind.__module__.partition(".")[0] in SIZED and hasattr(kind, "__len__") else None


def _bytes(value: Any) -> int | None:
    kind = type(value)
    if kind.__module__ == "builtins":
        return sys.getsizeof(value)
    if not _is_library(kind):
        return None
    if kind.__module__.startswith("pandas") and hasattr(value, "memory_usage"):
        usage = value.memory_usage()
        return int(usage if isinstance(usage, int) else usage.sum())
    size = getattr(value, "nbytes", None)
    return int(size) if isinstance(size, int) else None


class _ShortRepr(reprlib.Repr):
    """A repr that touches at most a few elements and calls no code of the user's."""

    PLAIN_MODULES = frozenset(
        {"builtins", "collections", "datetime", "decimal", "fractions", "numpy", "pathlib", "uuid"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = MAX_REPR_CHARS
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 10

    def repr1(self, x: Any, level: int) -> str:
        kind = type(x)
        if kind.__name__ in ("list", "tuple", "dict", "set", "frozenset", "deque", "str", "int") and (
            kind.__module__ in ("builtins", "collections")
        ):
            return super().repr1(x, level)
        if kind in (bytes, bytearray):
            return repr(x[: MAX_REPR_CHARS // 4]) + ("…" if len(x) > MAX_REPR_CHARS // 4 else "")
        if kind.__module__.partition(".")[0] in self.PLAIN_MODULES and not hasattr(kind, "__len__"):
            return super().repr1(x, level)
        return self.outline(x, level)

    def outline(self, value: Any, level: int) -> str:
        """Type, shape and dtype of an array; type and attributes of the user's own objects."""
        kind = type(value)
        if _is_library(kind):
            facts = [f"{name}={getattr(value, name)}" for name in ("shape", "dtype", "device") if hasattr(value, name)]
            columns = getattr(value, "columns", None)
            if columns is not None:
                facts.append("columns=" + ", ".join(str(column) for column in islice(columns, 20)))
        else:
            attributes = getattr(value, "__dict__", {}) if level > 1 else {}
            facts = [f"{name}={self.repr1(item, level - 1)}" for name, item in islice(list(attributes.items()), 10)]
        return f"<{kind.__name__} {', '.join(facts)}>" if facts else f"<{kind.__name__}>"


_short = _ShortRepr()


# --- loops ------------------------------------------------------------------------------------------------------------


def iterations() -> Iterator[int]:
    """What a rewritten loop iterates over."""
    return _loop_runner.iterations()


def keep_result(value: object) -> None:
    """Keep the value of the body's last expression."""
    _loop_runner.keep_result(value)


def skip_error() -> None:
    """Note the exception that an iteration is skipped for."""
    _loop_runner.skip_error()


def finish_loop() -> None:
    """Report the iteration that broke out of the loop."""
    _loop_runner.finish_loop()


def end_loop() -> None:
    """Let go of the loop, however it ended."""
    _loop_runner.end_loop()

"""What an operation on a cluster is made of: its work, batches, finished iterations and errors; and interrupts of it.

Runs in the kernel, as `_smart_colab.cluster_work`; standard library only.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass
class Work:
    """A loop, and what to do with what comes of it."""

    cluster: str
    setup: str
    body: str
    numbers: Sequence[int]
    skip_errors: bool
    variables: Mapping[str, Any]
    # Reports the iteration at this position of `numbers`, with its result, marks, error and `break`, which is the last.
    report: Callable[[int, Any, Any, Any, str | None], None]
    say: Callable[[str, str], None]
    # Shows how the cluster is now, in the form of `cluster_view`.
    show: Callable[[dict[str, Any]], None]
    # Iterations that a worker began though another had before, and those that ran and were not reported: at most these.
    began_again: int = 0
    uncounted: int = 0


@dataclass(eq=False)
class Batch:
    """Iterations in flight, by their positions."""

    number: int
    positions: list[int]
    future: Any = None
    # Nothing else was in flight: if its worker ends, that is its doing.
    is_alone: bool = False
    # How often a worker has begun it.
    starts: int = 0


@dataclass
class Finished:
    """An iteration that has run: what it printed, its result, and how it ended."""

    output: list[tuple[str, str]]
    result: Any = None
    marked: Any = None
    error: dict[str, Any] | None = None
    end: str | None = None


class WorkFailed(Exception):
    """Shown as the exception that code on a worker has raised."""

    def __init__(self, evalue: str, traceback: list[str]) -> None:
        super().__init__(evalue)
        self._traceback = traceback

    @classmethod
    def of(cls, error: Mapping[str, Any]) -> WorkFailed:
        """Return the exception of this description, in a class of its own name."""
        kind: type[WorkFailed] = type(error["ename"], (cls,), {})
        return kind(error["evalue"], error["traceback"])

    def _render_traceback_(self) -> list[str]:
        return self._traceback


class NotOnCluster(WorkFailed):
    """The code relies on what worker processes do not have."""


class SetupFailed(WorkFailed):
    """The setup has raised an exception on a worker."""


def interrupted() -> KeyboardInterrupt:
    """Return an interrupt without a traceback: no line of the cell's was running."""
    lines = ["KeyboardInterrupt: the work on the cluster was interrupted"]
    kind: type[KeyboardInterrupt] = type(
        "KeyboardInterrupt", (KeyboardInterrupt,), {"_render_traceback_": lambda _self: lines}
    )
    return kind()


@contextmanager
def deferred(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at the first interrupt; raise at the next one."""

    def on_signal(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        act()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

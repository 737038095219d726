"""Which cell a piece of output belongs to: that of the code that started its thread.

Runs in the kernel, as `_smart_colab.origins`; standard library alone. A context variable holds the cell's header:
asyncio's tasks inherit it, and threads are given it here, whose output ipykernel takes for that of the cell that runs.
"""

from __future__ import annotations

import _thread
import functools
import os
import sys
import threading
import traceback
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_cell: ContextVar[dict[str, Any] | None] = ContextVar("smart_colab_cell", default=None)
# What has no origin of its own, as a thread that C code made, belongs to the cell that runs.
_latest: dict[str, Any] = {}


class Source(bytes):
    """A stream while a cell runs: the key in the journal, and what a message of it needs."""

    stream: Any
    parent: dict[str, Any]

    @classmethod
    def of(cls, stream: Any, parent: dict[str, Any]) -> Source:
        """The key of what the cell with the header `parent` writes to `stream`."""
        source = cls(f"{stream.name} {parent.get('msg_id')}".encode())
        source.stream, source.parent = stream, parent
        return source


def current() -> dict[str, Any]:
    """The header of the cell that this code belongs to."""
    origin = _cell.get()
    return _latest if origin is None else origin


def begin(header: dict[str, Any]) -> None:
    """What runs from here on in this context belongs to this cell."""
    global _latest
    _latest = header
    _cell.set(header)


def install(after_fork: Callable[[], None]) -> None:
    """Follow threads; `after_fork` is called where one ends in a process that it has forked."""
    for module, name in (
        (_thread, "start_new_thread"),
        (threading, "_start_new_thread"),
        (_thread, "start_joinable_thread"),  # from Python 3.13 on
        (threading, "_start_joinable_thread"),
    ):
        if (start := getattr(module, name, None)) is not None:
            setattr(module, name, _starting(start, after_fork))
    threading.excepthook = _report_thread
    sys.unraisablehook = _report_unraisable


def _starting(start: Callable[..., Any], after_fork: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(start)
    def start_here(function: Any, *arguments: Any, **options: Any) -> Any:
        if not callable(function):
            return start(function, *arguments, **options)  # which says what is wrong with it
        origin = current()

        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> None:
            _cell.set(origin)
            process = os.getpid()
            try:
                function(*arguments, **options)
            finally:
                if os.getpid() != process:
                    after_fork()

        return start(run, *arguments, **options)

    return start_here


def bind(function: Any) -> Any:
    """The function, belonging to this cell whichever thread calls it."""
    if not callable(function):
        return function
    origin = current()

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        token = _cell.set(origin)
        try:
            return function(*arguments, **options)
        finally:
            _cell.reset(token)

    return call


# --- tracebacks, which Python's own hooks write line by line ----------------------------------------------------------


def _report_thread(failure: Any) -> None:
    if failure.exc_type is not SystemExit:
        name = failure.thread.name if failure.thread is not None else threading.get_ident()
        _write_whole(f"Exception in thread {name}:\n", failure)


def _report_unraisable(failure: Any) -> None:
    subject = ""
    if failure.object is not None:
        try:
            subject = f": {failure.object!r}"
        except BaseException:
            subject = ": <object repr() failed>"
    _write_whole(f"{failure.err_msg or 'Exception ignored in'}{subject}\n", failure)


def _write_whole(heading: str, failure: Any) -> None:
    frames = failure.exc_traceback
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    value = failure.exc_value if failure.exc_value is not None else failure.exc_type()
    # At the interpreter's end there may be no stream.
    with suppress(Exception):
        sys.stderr.write(heading + "".join(traceback.format_exception(failure.exc_type, value, frames)))
        sys.stderr.flush()

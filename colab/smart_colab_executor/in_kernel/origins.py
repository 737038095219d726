"""Attributes output to the cell whose code started its thread.

Runs in the kernel, as `_smart_colab.origins`; standard library only. A context variable holds the cell's header:
asyncio's tasks inherit it, and threads receive it here; ipykernel would attribute their output to the running cell.
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
# Code without an origin, such as a thread created by C code, belongs to the running cell.
_latest: dict[str, Any] = {}


class Source(bytes):
    """A stream during a cell: the key in the journal, with the stream and header for its messages."""

    stream: Any
    parent: dict[str, Any]

    @classmethod
    def of(cls, stream: Any, parent: dict[str, Any]) -> Source:
        """Return the key for output to `stream` by the cell with the header `parent`."""
        source = cls(f"{stream.name} {parent.get('msg_id')}".encode())
        source.stream, source.parent = stream, parent
        return source


def current() -> dict[str, Any]:
    """Return the header of the cell that the calling code belongs to."""
    origin = _cell.get()
    return _latest if origin is None else origin


def begin(header: dict[str, Any]) -> None:
    """Set the running cell, to which code in this context now belongs."""
    global _latest
    _latest = header
    _cell.set(header)


def install(after_fork: Callable[[], None]) -> None:
    """Patch thread starts; `after_fork` is called when a thread ends in a process that it forked."""
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
            return start(function, *arguments, **options)  # raises the right TypeError
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
    """Bind a function to this cell, whichever thread calls it."""
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
    # At interpreter shutdown there may be no stream.
    with suppress(Exception):
        sys.stderr.write(heading + "".join(traceback.format_exception(failure.exc_type, value, frames)))
        sys.stderr.flush()

"""Shows every exception with its name, its message and the user's own lines.

Runs in the kernel, as `_smart_colab.tracebacks`; standard library only. IPython prints some kinds to stderr, and shows
nothing of an exception whose own methods raise; ipykernel then sends no reply, or one without a name.
"""

from __future__ import annotations

import linecache
import re
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .own_modules import OwnModules

# Modules whose frames are hidden; the user's code is never in them.
HIDDEN_MODULES = ("IPython", "ipykernel")
OWN_FILES = "<_smart_colab"
MAX_INNER_ERRORS = 20
MAX_INNER_CHARS = 200
ESCAPE_CODE = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")


def message(error: BaseException, depth: int = 3) -> str:
    """Return an exception's `str` without colors; for a group also its inner errors, down to `depth` levels."""
    try:
        text = ESCAPE_CODE.sub("", str(error))
    except Exception:  # noqa: BLE001, RUF100 - a user's `__str__`, or an integer of too many digits
        return "<no message: str() of the exception raised another exception>"
    errors = _inner(error)[:MAX_INNER_ERRORS] if depth else ()
    # One line each: short views show only a message's first line.
    inner = [": ".join((type(one).__name__, *message(one, depth - 1).strip().splitlines()[:1])) for one in errors]
    return f"{text} [{'; '.join(one[:MAX_INNER_CHARS] for one in inner)}]" if inner else text


def describe(error: BaseException) -> dict[str, Any]:
    """Return the exception as an `error` event, with its notes in the message."""
    return {
        "ename": type(error).__name__,
        "evalue": " | ".join((message(error), *_notes(error))),
        # By the standard library: IPython would show the frame's current line, not the failing one.
        "traceback": _format(error),
    }


class Tracebacks:
    """Replaces IPython's display of exceptions."""

    def __init__(self, shell: Any, own_modules: OwnModules) -> None:
        self._shell = shell
        self._own_modules = own_modules
        # Whether an exception is being shown; a debugger that IPython calls then must not hide it.
        self.is_showing = False
        self._show, shell.showtraceback = shell.showtraceback, self._showtraceback
        shell._showtraceback = self._send
        # The number of each cell by its file name; IPython 7 keeps none.
        self._cells: dict[str, int] = {}
        self._cache, shell.compile.cache = shell.compile.cache, self._cache_cell
        self._execute, shell.kernel.do_execute = shell.kernel.do_execute, self._do_execute
        # IPython 9 stores every exception in its history, and fails for one whose `str` raises.
        shell._format_exception_for_storage = lambda *_arguments, **_options: {}
        shell.events.register("pre_execute", self._begin)
        _show_lines_that_failed()
        # The advice at `sys.exit()` applies to terminals.
        warnings.filterwarnings("ignore", message="To exit: use 'exit'")
        self._usage_error = sys.modules["IPython.core.error"].UsageError
        roots = (getattr(sys.modules[name], "__file__", None) for name in HIDDEN_MODULES)
        self._hidden = (OWN_FILES, *(str(Path(root).parent) for root in roots if root))

    def _begin(self) -> None:
        # Leftovers of an earlier cell would be attributed to this one, at least in a cell with `await`.
        self._shell._last_traceback = None
        self._shell._last_traceback_during_displayhook = False
        self._shell.displayhook.msg = None

    def _cache_cell(self, code: str, number: int = 0, *arguments: Any, **options: Any) -> Any:
        name = self._cache(code, number, *arguments, **options)
        self._cells[name] = number
        return name

    async def _do_execute(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await self._execute(*arguments, **options)
        except Exception:  # noqa: BLE001, RUF100
            # ipykernel could not format the code's exception, and would never reply.
            shell = self._shell
            result = shell.last_execution_result
            error = result and (result.error_before_exec or result.error_in_exec)
            return {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": message(error) if error else "",
                "traceback": shell._last_traceback or [],
                "execution_count": shell.execution_count - 1,
                "user_expressions": {},
                "payload": [],
            }

    def _showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        try:
            kind, error, trace = self._shell._get_exc_info(exc_tuple)
        except ValueError:
            self._show(exc_tuple, *arguments, **options)  # prints that there is none
            return
        self.is_showing = True
        try:
            for one in _chain(error):
                with suppress(Exception):  # a `__traceback__` of the user's own
                    one.__traceback__ = self._without_machinery(one.__traceback__, also_first=one is not error)
            if issubclass(kind, self._usage_error):
                self._send(kind, error, [f"{kind.__name__}: {message(error)}"])
            elif hasattr(error, "_render_traceback_"):
                self._send(kind, error, error._render_traceback_())
            elif _is_plain(error) and not (issubclass(kind, SyntaxError) and options.get("running_compiled_code")):
                self._show((kind, error, self._without_machinery(trace)), *arguments, **options)
            else:
                self._send(kind, error, self._format(error))
        except Exception:  # noqa: BLE001, RUF100
            self._send(kind, error, self._format(error))
        finally:
            self.is_showing = False

    def _send(self, kind: type[BaseException], error: BaseException, lines: Any) -> None:
        """Send an exception as ipykernel does, but tolerate odd exceptions and lines."""
        shell, hook = self._shell, self._shell.displayhook
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            lines = self._format(error)
        # IPython 7 has no notes.
        lines = lines + [note for note in _notes(error) if not any(note in line for line in lines)]
        if getattr(hook, "msg", None) is not None:
            shell._last_traceback_during_displayhook = True
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the user's own stream
                stream.flush()
        lines = [self._with_cells(line) for line in lines]
        if said := self._own_modules.note(error):
            lines.append(f"[{said}]")
        text = message(error)
        if isinstance(error, SyntaxError) and error.filename in self._cells:
            # `str` gives only the last part of the file's path.
            text = text.replace(f"({Path(error.filename).name}, ", f"(Cell In[{self._cells[error.filename]}], ")
        content = {"ename": kind.__name__, "evalue": text, "traceback": lines}
        topic = hook.topic.replace(b"execute_result", b"error") if hook.topic else None
        hook.session.send(hook.pub_socket, "error", content, hook.parent_header, ident=topic)
        shell._last_traceback = lines

    def _format(self, error: BaseException) -> list[str]:
        """Return the standard library's traceback."""
        return _format(error, self._without_machinery(error.__traceback__, also_first=True))

    def _with_cells(self, line: str) -> str:
        """Replace file names in `line` by IPython's names of the cells."""
        for file, count in self._cells.items():
            line = line.replace(file, f"Cell In[{count}]")
        return line

    def _without_machinery(self, trace: TracebackType | None, *, also_first: bool = False) -> TracebackType | None:
        """Return the traceback without frames of IPython and ours, except the first, which IPython omits itself."""
        kept: list[TracebackType] = []
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if not file.startswith(self._hidden) or (not kept and not also_first):
                kept.append(trace)
            trace = trace.tb_next
        following = None
        for one in reversed(kept):
            following = TracebackType(following, one.tb_frame, one.tb_lasti, one.tb_lineno)
        return following


def _show_lines_that_failed() -> None:
    """Make IPython 9.18 mark the line that raised, not the one where a `finally` or a `with` left the frame.

    It looks for a cell's file on disk, and without one shows the frame's current line.
    """
    ultratb = sys.modules["IPython.core.ultratb"]
    count = getattr(ultratb, "get_line_number_of_frame", None)
    if count is not None:
        ultratb.get_line_number_of_frame = lambda frame: (  # type: ignore[attr-defined]
            len(linecache.getlines(frame.f_code.co_filename)) or count(frame)
        )


def _format(error: BaseException, trace: TracebackType | None = None) -> list[str]:
    try:
        lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    except Exception:  # noqa: BLE001, RUF100 - a user's `__str__`, before Python 3.13 its notes too
        lines = [f"{type(error).__name__}: {message(error)}"]
    return [line.rstrip("\n") for line in lines]  # they are joined by line ends


def _is_plain(error: BaseException) -> bool:
    """Return whether IPython can show an exception: not a group, and its `str` does not raise."""
    try:
        str(error)
    except Exception:  # noqa: BLE001, RUF100
        return False
    return not any(_inner(one) for one in _chain(error))


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)
    return [note for note in notes if isinstance(note, str)][:MAX_INNER_ERRORS] if isinstance(notes, list) else []


def _inner(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception, its causes and contexts, and inner exceptions, each once."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += (one.__cause__, one.__context__, *_inner(one))

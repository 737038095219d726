"""Runs iterations of loops in a worker process of a cluster.

Runs there as `worker_side` of a package that `on_cluster` sends; standard library only. The setup runs once in each
process, and what it makes stays there. Iterations run in copies of its namespace, side by side where a worker has
several threads, so no iteration sees what another one assigned.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import io
import linecache
import sys
import threading
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import loops, tracebacks
from .plain_values import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

SETUP_FILE, BODY_FILE = "<setup_code>", "<loop_code>"
# An iteration's output beyond this is left out, and the rest of a batch whose output exceeds it waits for another one.
MAX_OUTPUT_CHARS = 8 * 1024 * 1024
# A batch that takes longer, since its iterations are slower than those before, returns what it has.
MAX_BATCH_SEC = 1.0
AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

_operations: dict[str, Operation] = {}
_printed = threading.local()


def begin(key: str, setup: str, body: str, *, skip_errors: bool) -> None:
    """Get ready for an operation's batches; the setup runs before the first one."""
    _operations.setdefault(key, Operation(key, setup, body, skip_errors=skip_errors))
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _Stream):
            setattr(sys, name, _Stream(name, getattr(sys, name)))


def end(key: str) -> None:
    """Drop an operation with all that its setup made; what runs of it ends after its iteration."""
    if (operation := _operations.pop(key, None)) is not None:
        operation.end()


def run(key: str, numbers: Sequence[int], *, shows_setup: bool, begins: Callable[[], object] = bool) -> dict[str, Any]:
    """Run iterations; return what they have come to, in order, and what the setup has printed if asked for.

    `begins` is called before the first one, after the setup.
    `done` has a tuple for each: its output, its result, the counts of marked values, the error, and how it ended: None,
    `break` or `stop`. It is shorter than `numbers` after an iteration that ends the loop, after MAX_BATCH_SEC, or after
    much output.
    """
    operation = _operations.get(key)
    if operation is None:
        return {"done": [], "seconds": 0.0}
    return operation.run(numbers, shows_setup=shows_setup, begins=begins)


class Operation:
    """The code of one operation, and what its setup made in this process."""

    def __init__(self, key: str, setup: str, body: str, *, skip_errors: bool) -> None:
        self.module_name = f"smart_colab_operation_{key}"
        self._is_over = False
        self._running = 0
        self._setup, self._body, self._skip_errors = setup, body, skip_errors
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._code: Any = None
        self._namespace: dict[str, Any] | None = None
        self._setup_output: list[tuple[str, str]] = []

    def end(self) -> None:
        """Begin no further iteration."""
        self._is_over = True
        self._leave_if_over()

    def run(self, numbers: Sequence[int], *, shows_setup: bool, begins: Callable[[], object]) -> dict[str, Any]:
        """Run iterations, after the setup if it has not run yet."""
        with self._counting:
            self._running += 1
        try:
            return self._run(numbers, shows_setup=shows_setup, begins=begins)
        finally:
            with self._counting:
                self._running -= 1
            self._leave_if_over()

    def _leave_if_over(self) -> None:
        # Code that runs may need its module: to pickle, or for a dataclass.
        with self._counting:
            if self._is_over and not self._running:
                sys.modules.pop(self.module_name, None)

    def _run(self, numbers: Sequence[int], *, shows_setup: bool, begins: Callable[[], object]) -> dict[str, Any]:
        with self._lock:
            error = self._set_up() if self._namespace is None else None
        # The first result to arrive need not be of the batch that the setup ran for.
        setup = {"setup_output": self._setup_output if shows_setup else []}
        if error is not None:
            return {"done": [], "seconds": 0.0, "setup_error": error, **setup}
        done: list[tuple[Any, ...]] = []
        room = MAX_OUTPUT_CHARS
        begins()
        began = perf_counter()
        for number in numbers:
            if self._is_over or room <= 0 or perf_counter() - began > MAX_BATCH_SEC:
                break
            done.append(self._iterate(number))
            room -= sum(len(text) for _, text in done[-1][0])
            if done[-1][-1] is not None:
                break
        return {"done": done, "seconds": perf_counter() - began, **setup}

    def _set_up(self) -> dict[str, Any] | None:
        """Run the setup; return its error."""
        # Not `__main__`: so code below `if __name__ == "__main__":` runs in the session alone.
        module = sys.modules[self.module_name] = ModuleType(self.module_name)
        namespace = module.__dict__
        namespace |= {"__builtins__": builtins, "display": print}
        with _capture() as output:
            self._setup_output = output.pieces
            try:
                tree = loops.rewrite_one(ast.parse(self._body, BODY_FILE))
                self._code = compile(tree, BODY_FILE, "exec", AWAITS, dont_inherit=True)
                _execute(compile(self._setup, SETUP_FILE, "exec", AWAITS, dont_inherit=True), namespace)
            except BaseException as error:  # noqa: BLE001, RUF100
                return self._described(error, SETUP_FILE, self._setup)
        self._namespace = namespace
        return None

    def _iterate(self, number: int) -> tuple[Any, ...]:
        iteration = _Iteration()
        names = {**(self._namespace or {}), loops.ITERATION: iteration, loops.VARIABLE: number}
        with _capture() as output:
            try:
                _execute(self._code, names)
            except BaseException as error:  # noqa: BLE001, RUF100
                described = self._described(error, BODY_FILE, self._body)
                is_skipped = self._skip_errors and isinstance(error, Exception)
                return output.pieces, None, None, described, None if is_skipped else "stop"
            result, marked = plain(iteration.result)
        return output.pieces, result, marked, None, None if iteration.has_ended else "break"

    def _described(self, error: BaseException, file: str, text: str) -> dict[str, Any]:
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        trace: TracebackType | None = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != file:
            trace = trace.tb_next
        return tracebacks.describe(error.with_traceback(trace))


class _Iteration:
    """What a rewritten body reports to."""

    def __init__(self) -> None:
        self.result: object = None
        self.has_ended = False

    def keep(self, value: object) -> None:
        self.result = value

    def end(self) -> None:
        self.has_ended = True


def _execute(code: Any, names: dict[str, Any]) -> None:
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))  # noqa: S307 - the user's code
    else:
        exec(code, names)  # noqa: S102 - the user's code


# --- output -----------------------------------------------------------------------------------------------------------


class _Output:
    """What a thread has printed, in order."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, str]] = []
        self._room = MAX_OUTPUT_CHARS

    def add(self, name: str, text: str) -> None:
        if kept := text[: max(self._room, 0)]:
            self.pieces.append((name, kept))
        self._room -= len(text)

    def close(self) -> None:
        """Join the pieces."""
        pieces = [(name, "".join(text for _, text in parts)) for name, parts in groupby(self.pieces, itemgetter(0))]
        if self._room < 0:
            pieces.append(("stderr", f"\n[{-self._room:,} more characters of this iteration are left out]\n"))
        self.pieces[:] = pieces


class _Stream(io.TextIOBase):
    """The process's stdout or stderr, apart from what the threads of iterations print."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self._stream = name, stream

    def write(self, text: str) -> int:
        output = getattr(_printed, "output", None)
        if output is None:
            return int(self._stream.write(text))
        output.add(self._name, text)
        return len(text)

    def flush(self) -> None:
        if getattr(_printed, "output", None) is None:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _capture() -> Iterator[_Output]:
    """Collect what this thread prints."""
    outer = getattr(_printed, "output", None)
    output = _printed.output = _Output()
    try:
        yield output
    finally:
        output.close()
        _printed.output = outer

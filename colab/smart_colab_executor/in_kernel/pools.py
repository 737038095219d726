"""Attributes output of pool workers to the cell that submitted the work, since pools outlive their cells.

Runs in the kernel, as `_smart_colab.pools`; standard library only. In a thread pool each piece of work is tracked. The
workers of process pools have their own pipes, whose text belongs to the cell that last used such a pool.
"""

from __future__ import annotations

import concurrent.futures
import functools
import sys
from typing import TYPE_CHECKING, Any

from . import origins

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_METHODS = ("apply_async", "_map_async", "imap", "imap_unordered")
# Modules, classes, and the methods that accept work; joblib's loky among them.
PROCESS_POOLS = (
    ("multiprocessing.pool", "Pool", POOL_METHODS),
    ("concurrent.futures.process", "ProcessPoolExecutor", ("submit",)),
    ("loky.process_executor", "ProcessPoolExecutor", ("submit",)),
    ("joblib.externals.loky.process_executor", "ProcessPoolExecutor", ("submit",)),
)
# The functions that their workers run.
WORKERS = {(module, name) for module, _, _ in PROCESS_POOLS for name in ("worker", "_process_worker")}

_user: dict[str, Any] = {}
_followed: set[str] = set()


def user() -> dict[str, Any]:
    """Return the header of the cell that last used a process pool."""
    return _user


def install() -> None:
    """Patch thread pools; `follow` handles those of other modules once they are imported."""
    executor = concurrent.futures.ThreadPoolExecutor
    executor.submit = _handing_over(executor.submit)  # type: ignore[method-assign]


def follow() -> None:
    """Patch newly imported pools. Called at a cell's start: a pool imported during a cell works only for it."""
    for module, name, methods in PROCESS_POOLS:
        if module in sys.modules and module not in _followed:
            _followed.add(module)
            pool = getattr(sys.modules[module], name)
            for method in methods:
                setattr(pool, method, _noting(getattr(pool, method)))
            if (threads := getattr(sys.modules[module], "ThreadPool", None)) is not None:
                for method in methods:
                    setattr(threads, method, _handing_over(getattr(threads, method)))


def is_worker(process: Any) -> bool:
    """Return whether a process about to start is a pool's worker."""
    target = getattr(process, "_target", None)
    return (getattr(target, "__module__", None), getattr(target, "__name__", None)) in WORKERS


def note_use() -> None:
    """Note that the calling cell uses a process pool."""
    global _user
    _user = origins.current()


def _noting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def note(*arguments: Any, **options: Any) -> Any:
        note_use()
        return method(*arguments, **options)

    return note


def _handing_over(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a pool's method whose first argument is called in a thread of the pool."""

    @functools.wraps(method)
    def hand_over(self: Any, *arguments: Any, **options: Any) -> Any:
        if arguments:
            arguments = (origins.bind(arguments[0]), *arguments[1:])
        elif "func" in options:
            options["func"] = origins.bind(options["func"])
        return method(self, *arguments, **options)

    return hand_over

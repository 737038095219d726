"""Finds what values keep in memory, without running their code: what they contain, numpy's bases, torch's storages.

Runs in the kernel, as `_smart_colab.holdings`; standard library alone.
"""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from time import monotonic
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from .classes import is_a, root_of

# Of the deleted values, of the other variables, and of the results.
MAX_SECONDS = 1.0
MAX_DEPTH = 50
# Of one value, and of one container's parts.
MAX_HELD = 50_000
MAX_PARTS = 5_000
MIN_TEXT_BYTES = 1024
# Less is not worth a word.
MIN_REPORTED_BYTES = 100_000
MAX_HOLDERS = 10

# They are shared by values that have nothing else in common.
COMMON = frozenset((type(None), bool, int, float, complex, type(...), CodeType, BuiltinFunctionType))
TEXTS: tuple[Any, ...] = (str, bytes)
CONTAINERS: tuple[Any, ...] = (list, tuple, dict, set, frozenset)
WEIGHED = (*TEXTS, *CONTAINERS, bytearray, array)

Held = dict[int, int]
"""Bytes of what is held, by its id; 0 where they are unknown."""


class Holdings:
    """What deleted values held, who else holds it, and whether a result that was shown would keep it."""

    def __init__(self, shell: Any, deleted: list[Any], others: dict[str, Any]) -> None:
        self._until = monotonic() + MAX_SECONDS
        history = shell.history_manager
        # They lead to everything.
        everything = (shell, shell.user_ns, shell.user_ns_hidden, history, history.output_hist, shell.displayhook)
        self._passed_over = {id(one) for one in everything}
        self._deleted = {id(value) for value in deleted}
        self._gone = self._search(deleted)
        self._until = monotonic() + MAX_SECONDS
        self.holders: list[str] = []
        """Names of other variables that hold a considerable part of it."""
        kept: set[int] = {id(value) for value in others.values()}
        for name, value in others.items():
            shared = self._search([value]).keys() & self._gone.keys()
            kept |= shared
            if sum(self._gone[key] for key in shared) >= MIN_REPORTED_BYTES and len(self.holders) < MAX_HOLDERS:
                self.holders.append(name)
        self._gone = {key: size for key, size in self._gone.items() if key not in kept}
        self._deleted -= kept
        self._until = monotonic() + MAX_SECONDS

    def are_kept_by(self, result: object) -> bool:
        """Return whether `result` is among the deleted values or theirs, or consists mostly of what they alone held."""
        if id(result) in self._deleted or id(result) in self._gone:
            return True
        held = self._search([result])
        size = sum(self._gone[key] for key in held.keys() & self._gone.keys())
        return size >= MIN_REPORTED_BYTES and 2 * size > sum(held.values())

    def _search(self, values: Iterable[Any]) -> Held:
        held: Held = {}
        level = list(values)
        for _ in range(MAX_DEPTH):
            inner: list[Any] = []
            for value in level:
                if id(value) in held or id(value) in self._passed_over or _is_common(value):
                    continue
                if len(held) >= MAX_HELD or monotonic() > self._until:
                    return held
                held[id(value)], parts = _look(value)
                held |= _storage(value)
                inner += parts
            level = inner
        return held


def _is_common(value: Any) -> bool:
    kind = type(value)
    if type(kind) is not type:  # the user's metaclass could compare by its own code
        return issubclass(kind, (type, ModuleType))
    is_short = kind in TEXTS and kind.__len__(value) < MIN_TEXT_BYTES
    return is_short or kind in COMMON or issubclass(kind, (type, ModuleType))


def _look(value: Any) -> tuple[int, list[Any]]:
    """Return a value's own bytes, 0 if they are unknown, and what it refers to."""
    kind = type(value)
    if type(kind) is type:
        if kind is FunctionType:  # not its module's globals
            return 0, [value.__closure__, value.__defaults__, value.__kwdefaults__, value.__dict__]
        if kind in WEIGHED:
            parts = value.values() if kind is dict else value if kind in CONTAINERS else ()
            return sys.getsizeof(value), list(islice(parts, MAX_PARTS))
        if is_a(value, "numpy", "ndarray"):
            return _look_at_array(value, sys.modules["numpy"].ndarray)
    return 0, gc.get_referents(value)


def _look_at_array(value: Any, kind: Any) -> tuple[int, list[Any]]:
    base = kind.base.__get__(value)
    is_of_objects = kind.dtype.__get__(value).kind == "O"
    objects = kind.view(value, kind).flat[:MAX_PARTS].tolist() if is_of_objects else []
    return kind.nbytes.__get__(value) if base is None else 0, [base, *objects]


def _storage(value: Any) -> Held:
    """Return the memory that a tensor shares with its views; no id is negative."""
    with suppress(Exception):
        if root_of(type(value)) == "torch" and is_a(value, "torch", "Tensor"):  # not the user's, with its own code
            storage = value.untyped_storage()
            return {-int(storage.data_ptr()): int(storage.nbytes())}
    return {}

"""Converts values to JSON: those with a usual form there to that form, the rest to a mark with the type, counted.

Integers beyond 64 bits, complex numbers, sets and keys that are no text become text or a list, and are counted.
A library's missing value becomes null and is counted; a None of the user's is not counted.

Runs in the kernel, as `_smart_colab.plain_values`; standard library only.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import numbers
import pathlib
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

# The key of the object that replaces a value without a JSON form.
MARK = "not_json"
MAX_CHARS = 64 * 1024
MAX_ITEMS = 1000
MAX_DEPTH = 50
# Readers in other languages parse smaller numbers as integers.
MAX_INTEGER = 2**63
MAX_INTEGER_BITS = 100_000
TEXTS = (decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath)
# Classes of pandas and numpy with a single value, and its name.
MISSING = {"NaTType": "NaT", "NAType": "NA", "MaskedConstant": "masked"}
NOT_A_TIME = "NaT"
NUMPY_TIMES = ("datetime64", "timedelta64")
# Every supported class of a library has one of them.
LIBRARY_METHODS = ("item", "head", "to_pylist", "tolist", "to_list")
LISTS: tuple[type[Any], ...] = (
    list,
    tuple,
    set,
    frozenset,
    deque,
    range,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


def plain(value: object) -> tuple[Any, dict[str, int] | None]:
    """Return `value` in at most about 64 Ki characters of JSON, and the counts of marked types and omitted parts."""
    kind = type(value)
    if value is None or kind is bool or (kind is int and -MAX_INTEGER < value < MAX_INTEGER):  # type: ignore[operator]
        return value, None
    walk = _Walk()
    return walk.of(value, MAX_DEPTH), dict(walk.marked) or None


def _missing_name(value: object) -> str | None:
    """Return a library's name of this value if it is a missing value."""
    kind = type(value)
    if not kind.__module__.startswith(("pandas", "numpy")):
        return None
    if kind.__name__ in NUMPY_TIMES:
        return NOT_A_TIME if str(value) == NOT_A_TIME else None
    return MISSING.get(kind.__name__)


def _numbered(text: str) -> Iterator[str]:
    """Yield `a`, `a (2)`, `a (3)` and so on."""
    yield text
    yield from (f"{text} ({number})" for number in count(2))


class _Walk:
    def __init__(self) -> None:
        self.marked: Counter[str] = Counter()
        self._room = MAX_CHARS

    def of(self, value: Any, depth: int) -> Any:
        try:
            return self._of(value, depth)
        except Exception:  # noqa: BLE001, RUF100 - a user's object may raise anything
            return self._mark(value)

    def _of(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            self._room -= 5
            return value
        if name := _missing_name(value):
            self._room -= 5
            self.marked[name] += 1
            return None
        if isinstance(value, enum.Enum):
            return self.of(value.value, depth)
        if isinstance(value, int):
            return self._integer(int(value))
        if isinstance(value, float):
            return self._float(float(value))
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, (datetime.date, datetime.time)):
            return self._text(value.isoformat())
        if isinstance(value, datetime.timedelta):
            return self._seconds(value.total_seconds())
        if isinstance(value, decimal.Decimal) and not value.is_finite():
            return self._float(float(value))
        if isinstance(value, TEXTS):
            return self._text(str(value))
        if isinstance(value, complex):
            self.marked["complex as text"] += 1
            return self._text(str(value))
        if depth == 0 or self._room <= 0:
            return self._mark(value)
        if isinstance(value, Mapping):
            return self._object(value.items(), len(value), depth)
        if isinstance(value, LISTS):
            return self._list(value, len(value), depth)
        return self._of_library(value, depth)

    def _of_library(self, value: Any, depth: int) -> Any:
        """Convert arrays, tables and scalars of libraries, without importing one."""
        kind = type(value)
        # Only by its class: some values run a query to find their shape.
        if kind.__module__ == "__main__" or not any(hasattr(kind, name) for name in LIBRARY_METHODS):
            return self._mark(value)
        shape = getattr(value, "shape", None)
        if shape == () and hasattr(value, "item"):
            return self._scalar(value, depth)
        # Accessed last: a lazy table computes its columns.
        if isinstance(shape, tuple) and len(shape) == 2 and hasattr(value, "head") and hasattr(value, "columns"):
            # By position: pandas allows columns of the same name.
            places = getattr(value, "iloc", None)
            columns = (
                (name, value[name] if places is None else places[:, place]) for place, name in enumerate(value.columns)
            )
            return self._object(columns, len(value.columns), depth)
        head = getattr(value, "iloc", value)
        for name in ("to_pylist", "tolist", "to_list"):
            if hasattr(value, name) and hasattr(value, "__len__"):
                rows = head[:MAX_ITEMS]
                # Row by row if there are several dimensions: not all of it is needed.
                is_deep = isinstance(shape, tuple) and len(shape) > 1 and name != "to_pylist"
                # numpy's lists have numbers for times, in fields too, and None for masked elements.
                is_bare = kind.__module__.startswith("numpy") and (hasattr(value, "mask") or value.dtype.kind in "mMV")
                items = rows if is_deep or is_bare else getattr(rows, name)()
                return self._list(items, len(value), depth)
        return self._mark(value)

    def _scalar(self, value: Any, depth: int) -> Any:
        """Convert a library's number, time, text or record, or an array without dimensions."""
        kind = type(value)
        if kind.__name__ in NUMPY_TIMES:
            return self._time(value)
        if fields := getattr(getattr(value, "dtype", None), "names", None):
            return self._list((value[name] for name in fields), len(fields), depth)
        inner = value[()] if hasattr(kind, "__getitem__") else value
        if type(inner) is kind:
            inner = value.item()
        if type(inner) is not kind:
            return self.of(inner, depth - 1)
        # A wider float than Python's.
        return self._float(float(value)) if isinstance(value, numbers.Real) else self._mark(value)

    def _time(self, value: Any) -> Any:
        """Convert numpy's datetime64 or timedelta64."""
        text = str(value)
        if type(value).__name__ == "datetime64":
            return self._text(text)
        unit = value.dtype.name.removeprefix("timedelta64")
        if unit in ("[Y]", "[M]"):  # of variable length
            return self._text(f"P{value.astype(int)}{unit[1]}")
        return self._seconds(float(value / type(value)(1, "s"))) if unit else self._text(text)

    def _seconds(self, seconds: float) -> str:
        return self._text(f"PT{decimal.Decimal(repr(seconds)):f}S")

    def _list(self, items: Iterable[Any], length: int, depth: int) -> list[Any]:
        kept: list[Any] = []
        for item in islice(items, MAX_ITEMS):
            if self._room <= 0:
                break
            self._room -= 1
            kept.append(self.of(item, depth - 1))
        if isinstance(items, (set, frozenset)):
            self.marked["set as list"] += 1
            kept.sort(key=lambda item: (type(item).__name__, item) if isinstance(item, (int, float, str)) else ("", ""))
        if len(kept) < length:
            self.marked["items left out"] += length - len(kept)
            kept.append(f"… {length - len(kept)} more")
        return kept

    def _object(self, items: Iterable[tuple[Any, Any]], length: int, depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        kinds: dict[str, type] = {}
        for name, item in islice(items, MAX_ITEMS):
            if self._room <= 0:
                break
            text = name
            if not isinstance(name, str):
                text = self._key(name)
                self.marked["key as text"] += 1
            if kinds.setdefault(text, type(name)) is not type(name):
                text = f"{text} ({type(name).__name__})"
            free = next(key for key in _numbered(text) if key not in kept)
            self._room -= len(free) + 4
            kept[free] = self.of(item, depth - 1)
        if len(kept) < length:
            self.marked["items left out"] += length - len(kept)
            kept["…"] = f"{length - len(kept)} more"
        return kept

    def _key(self, name: Any) -> str:
        if missing := _missing_name(name):
            return missing
        value = self.of(name, 3)
        return value if isinstance(value, str) else str(value)

    def _integer(self, value: int) -> Any:
        if -MAX_INTEGER < value < MAX_INTEGER:
            self._room -= 20
            return value
        if value.bit_length() > MAX_INTEGER_BITS:
            return self._mark(value)
        self.marked["int as text"] += 1
        # `str` of an integer rejects more than 4300 digits.
        return self._text(format(decimal.Decimal(value), "f"))

    def _float(self, value: float) -> Any:
        self._room -= 20
        if math.isfinite(value):
            return value
        text = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        self.marked[text] += 1
        return text

    def _text(self, text: str) -> str:
        room = max(self._room, 100)
        self._room -= len(text) + 2
        if len(text) <= room:
            return text
        self.marked["characters left out"] += len(text) - room
        return f"{text[:room]}… {len(text) - room} more characters"

    def _mark(self, value: object) -> dict[str, str]:
        kind = type(value)
        module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
        name = f"{module}{kind.__qualname__}"[:100]
        self._room -= len(name) + 20
        self.marked[name] += 1
        return {MARK: name}

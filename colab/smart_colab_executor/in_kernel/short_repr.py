"""A short text for any value: inspects a few elements, and runs none of the user's code.

Runs in the kernel, as `_smart_colab.short_repr`; standard library only.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import uuid
import zoneinfo
from collections import deque
from itertools import islice
from types import AsyncGeneratorType, BuiltinFunctionType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from .classes import attributes_of, module_of, mro_of, name_of, root_of
from .facts import DICTS, LISTS, TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .facts import Facts, Measure

MAX_CHARS = 200
MAX_ELEMENTS = 10
MAX_LEVELS = 3
# Python refuses much longer ones by default, and is slow with long ones.
MAX_INT_BITS = 640
BITS_PER_DIGIT = 3.3219280948873626

# Types whose own repr is short and calls no other code.
PLAIN: frozenset[type] = frozenset(
    {bool, float, complex, type(None), type(...), type(NotImplemented), object, GeneratorType, CoroutineType}
    | {AsyncGeneratorType, BuiltinFunctionType, decimal.Decimal, uuid.UUID, datetime.date, datetime.timedelta}
)
ZONES = (type(None), datetime.timezone, zoneinfo.ZoneInfo)
BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}", deque: "[]"}
LITERALS: frozenset[type] = frozenset({int, str, bytes, bytearray, dict, list, tuple, set})


class ShortRepr:
    """Makes short texts for one listing."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def text(self, value: object, facts: Facts | None = None, level: int = MAX_LEVELS) -> str:
        """Return a text of at most MAX_CHARS characters; pass `facts` if they are already known."""
        try:
            text = self._text(value, facts, level)
        except Exception as error:  # noqa: BLE001, RUF100 - half initialized, or changed by running code
            text = f"<{name_of(type(value))}: {type(error).__name__} when inspected>"
        return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"

    def _text(self, value: Any, facts: Facts | None, level: int) -> str:
        kind = type(value)
        if kind in PLAIN or root_of(kind) == "pathlib":
            return repr(value)
        if kind in (datetime.datetime, datetime.time) and type(value.tzinfo) in ZONES:
            return repr(value)
        if kind is fractions.Fraction:
            return f"Fraction({_whole(value.numerator)}, {_whole(value.denominator)})"
        if kind in (range, slice):
            return f"{name_of(kind)}({self._list((value.start, value.stop, value.step), 3, level)})"
        if _is_number(kind):
            return repr(value)
        for base in mro_of(kind):
            if base is int:
                return _wrapped(kind, _whole(int.__index__(value)))
            if base in TEXTS:
                return _wrapped(kind, _cut(base, value))
            if base in DICTS:
                return _wrapped(kind, "{" + self._pairs(value, level) + "}")
            if base in LISTS:
                parts, count = base.__iter__(value), base.__len__(value)  # type: ignore[attr-defined]
                opening, closing = BRACKETS[base][0], BRACKETS[base][1]
                text = (
                    opening + self._list(parts, count, level) + ("," if base is tuple and count == 1 else "") + closing
                )
                return _wrapped(kind, text if count or base is not set else "")
        if module_of(kind) == "builtins" and issubclass(kind, BaseException):
            arguments = BaseException.args.__get__(value)  # type: ignore[attr-defined]
            return f"{name_of(kind)}({self._list(arguments, len(arguments), level)})"
        return self._outline(value, self._measure.facts(value) if facts is None else facts, level)

    def _list(self, parts: Iterable[object], count: int, level: int) -> str:
        if level <= 0 and count:
            return "…"
        shown = [self.text(part, level=level - 1) for part in list(islice(parts, MAX_ELEMENTS))]
        return ", ".join(shown + (["…"] if count > MAX_ELEMENTS else []))

    def _pairs(self, value: Any, level: int) -> str:
        pairs = list(islice(dict.items(value), MAX_ELEMENTS + 1))
        if level <= 0 and pairs:
            return "…"
        shown = [f"{self.text(key, level=level - 1)}: {self.text(part, level=level - 1)}" for key, part in pairs]
        return ", ".join(shown[:MAX_ELEMENTS] + (["…"] if len(shown) > MAX_ELEMENTS else []))

    def _outline(self, value: object, facts: Facts, level: int) -> str:
        """Describe a library's value by its facts, an object of the user's by its attributes."""
        kind = type(value)
        said = [f"{name}={_plain(facts[name])}" for name in ("shape", "dtype", "device") if facts.get(name) is not None]
        if facts.get("columns"):
            labels = (label if type(label) is str else self.text(label, level=0) for label in facts["columns"])
            said.append("columns=" + ", ".join(labels))
        said += [facts["note"]] if "note" in facts else []
        if not said and _is_users(kind) and level > 0:
            attributes = list(islice(attributes_of(value).items(), MAX_ELEMENTS))
            said = [f"{name}={self.text(part, level=level - 1)}" for name, part in attributes]
        return f"<{name_of(kind)} {', '.join(said)}>" if said else f"<{name_of(kind)}>"


def _whole(value: int) -> str:
    if value.bit_length() <= MAX_INT_BITS:
        return repr(value)
    digits = int(value.bit_length() / BITS_PER_DIGIT) + 1
    return f"<{'negative ' if value < 0 else ''}int of about {digits:,} digits>"


def _is_number(kind: type) -> bool:
    """Return whether a class is one of numpy's scalars."""
    return root_of(kind) == "numpy" and any(
        name_of(base) in ("number", "bool", "bool_", "datetime64") for base in mro_of(kind)
    )


def _cut(base: Any, value: Any) -> str:
    head = base.__getitem__(value, slice(0, MAX_CHARS))
    return repr(head) + ("…" if base.__len__(value) > MAX_CHARS else "")


def _wrapped(kind: type, text: str) -> str:
    return text if kind in LITERALS and text else f"{name_of(kind)}({text})"


def _plain(fact: object) -> str:
    """Return a shape, dtype or device as text."""
    return name_of(type(fact)) if _is_users(type(fact)) else str(fact)


def _is_users(kind: type) -> bool:
    return any(module_of(base) == "__main__" for base in mro_of(kind))

"""Values as lines of JSON; standard library only, since kernels write them too."""

from __future__ import annotations

import json
import math

# Readers in other languages parse integers as 64 bits or floats, and limit the nesting.
MAX_INTEGER = 10**300
MAX_DEPTH = 100

# What needs no second look.
_PLAIN = frozenset({str, bool, type(None)})

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dump(value: object) -> bytes:
    """Return a line of JSON that every reader accepts: null for NaN, huge integers and too deep nesting."""
    # The usual results of a loop, thousands of times.
    if value is None:
        return b"null"
    if type(value) is int and abs(value) <= MAX_INTEGER:
        return b"%d" % value
    line = _encoder.encode(_readable(value, MAX_DEPTH))
    try:
        return line.encode()
    except UnicodeEncodeError:
        return replace_surrogates(line).encode()


def replace_surrogates(text: str) -> str:
    """Return `text` as valid Unicode: surrogate pairs joined, U+FFFD for a lone surrogate."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _readable(value: object, room: int) -> object:
    if type(value) is int:
        return value if abs(value) <= MAX_INTEGER else None
    match value:
        case dict():
            if not room:
                return None
            return {name: part if type(part) in _PLAIN else _readable(part, room - 1) for name, part in value.items()}
        case list() | tuple():
            return [_readable(part, room - 1) for part in value] if room else None
        case int() if abs(value) > MAX_INTEGER:
            return None
        case float() if not math.isfinite(value):
            return None
    return value

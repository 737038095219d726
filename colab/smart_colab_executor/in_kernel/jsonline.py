"""Values as lines of JSON; standard library alone, for the kernels write such lines too."""

from __future__ import annotations

import json
import math

# Readers in other languages hold integers of 64 bits or as floats, and nest no deeper than they must.
MAX_INTEGER = 10**300
MAX_DEPTH = 100

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dump(value: object) -> bytes:
    """One line of JSON that every reader takes: null for NaN, huge integers and what is nested too deep."""
    # A loop reports little else, thousands of times.
    if value is None:
        return b"null"
    if type(value) is int and abs(value) <= MAX_INTEGER:
        return b"%d" % value
    line = _encoder.encode(_readable(value, MAX_DEPTH))
    try:
        return line.encode()
    except UnicodeEncodeError:
        return whole(line).encode()


def whole(text: str) -> str:
    """`text` as UTF-8 can hold it: the halves of a character joined, and U+FFFD for a lone one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _readable(value: object, room: int) -> object:
    match value:
        case dict():
            return {name: _readable(part, room - 1) for name, part in value.items()} if room else None
        case list() | tuple():
            return [_readable(part, room - 1) for part in value] if room else None
        case int() if abs(value) > MAX_INTEGER:
            return None
        case float() if not math.isfinite(value):
            return None
    return value

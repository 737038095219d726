"""Check names, numbers, ids and times of requests."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from .errors import InvalidArgument

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SESSION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def session_name(name: object) -> str:
    """Return a valid session name. Raises InvalidArgument."""
    if not isinstance(name, str) or not SESSION_NAME.fullmatch(name):
        raise InvalidArgument("The session's name is malformed.", "Use 1 to 64 letters, digits, '_' and '-'.")
    return name


def text(value: object, name: str, hint: str) -> str:
    """Return a string of valid Unicode. Raises InvalidArgument with the hint."""
    if not isinstance(value, str):
        raise InvalidArgument(f"'{name}' must be a string.", hint)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"'{name}' contains a lone surrogate.", "Send valid Unicode.") from None
    return value


def uuid_text(text: str, name: str) -> str:
    """Return a UUID in its canonical spelling, in lower case. Raises InvalidArgument."""
    with suppress(ValueError):
        if str(uuid.UUID(text)) == text.lower():
            return text.lower()
    raise InvalidArgument(
        f"{name}: {text[:64]!r} is not a UUID.", "A UUID looks like 01931b66-7d5e-7c7a-8a3e-0f2d6a1c9b47."
    )


def number(values: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """Return a number from a query, within its bounds. Raises InvalidArgument."""
    try:
        value = float(values.get(name, default))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidArgument(f"'{name}' must be a number.", f"It may be from {low:g} to {high:g}.")
    return value


def integer(values: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Return an integer from a query, within its bounds. Raises InvalidArgument."""
    text = values.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise InvalidArgument(f"'{name}' must be a whole number.", f"It may be from {low} to {high}.")
    return int(text)


def time_ns(text: object, name: str) -> int:
    """Return an RFC 3339 time in nanoseconds since 1970. Raises InvalidArgument."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
        if at is not None and at.tzinfo is not None:
            return (at - EPOCH) // timedelta(microseconds=1) * 1000
    raise InvalidArgument(f"'{name}' must be a time with a time zone.", "Send it as 2026-11-21T10:00:00.123Z.")

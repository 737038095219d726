"""Requests' bodies and parameters, checked."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import InvalidArgument

MAX_TIMEOUT_SEC = 43_200
DEFAULT_SESSION = "main"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SESSION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class JobRequest:
    """A job as it was asked for, with the defaults filled in; equal when it is the same job."""

    code: str
    session: str = DEFAULT_SESSION
    timeout_sec: float = 600
    loop: dict[str, Any] | None = None
    kernel_id: str | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> JobRequest:
        """Raises InvalidArgument."""
        code = body.get("code")
        if not isinstance(code, str):
            raise InvalidArgument("'code' must be a text.", 'Send {"code": "print(1)"}.')
        try:
            code.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("'code' holds half of a surrogate pair.", "Send valid Unicode.") from None
        timeout = body.get("timeout_sec", 600)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 1 <= timeout <= MAX_TIMEOUT_SEC:
            raise InvalidArgument(
                "'timeout_sec' must be a number of seconds.", f"It may be from 1 to {MAX_TIMEOUT_SEC}."
            )
        loop, kernel_id = body.get("loop"), body.get("kernel_id")
        if kernel_id is not None and not isinstance(kernel_id, str):
            raise InvalidArgument(
                "'kernel_id' must be a text.", "Send the kernel_id that an earlier job ran in, or none."
            )
        return cls(
            code,
            session_name(body.get("session", DEFAULT_SESSION)),
            timeout,
            None if loop is None else _loop(loop),
            kernel_id,
        )


def session_name(name: object) -> str:
    """Raises InvalidArgument."""
    if not isinstance(name, str) or not SESSION_NAME.fullmatch(name):
        raise InvalidArgument("The session's name is malformed.", "Use 1 to 64 letters, digits, '_' and '-'.")
    return name


def uuid_text(text: str, name: str) -> str:
    """A UUID in its usual spelling, in lower case. Raises InvalidArgument."""
    with suppress(ValueError):
        if str(uuid.UUID(text)) == text.lower():
            return text.lower()
    raise InvalidArgument(
        f"{name}: {text[:64]!r} is no UUID.", "A UUID looks like 01931b66-7d5e-7c7a-8a3e-0f2d6a1c9b47."
    )


def number(values: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """A number of a query, within its bounds. Raises InvalidArgument."""
    try:
        value = float(values.get(name, default))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidArgument(f"'{name}' must be a number.", f"It may be from {low:g} to {high:g}.")
    return value


def whole(values: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number of a query, within its bounds. Raises InvalidArgument."""
    text = values.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise InvalidArgument(f"'{name}' must be a whole number.", f"It may be from {low} to {high}.")
    return int(text)


def time_ns(text: object, name: str) -> int:
    """A time of RFC 3339, in nanoseconds since 1970. Raises InvalidArgument."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
        if at is not None and at.tzinfo is not None:
            return (at - EPOCH) // timedelta(microseconds=1) * 1000
    raise InvalidArgument(f"'{name}' must be a time with its zone.", "Send it as 2026-11-21T10:00:00.123Z.")


def _loop(loop: object) -> dict[str, Any]:
    if not isinstance(loop, Mapping):
        raise InvalidArgument("'loop' must be an object.", 'Send {"start": 0, "stop": 10, "total": 10}.')
    stop = loop.get("stop")
    parsed = {"start": loop.get("start", 0), "stop": stop, "total": loop.get("total", stop)}
    for name, value in parsed.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise InvalidArgument(f"'loop.{name}' must be a whole number.", "It may not be negative.")
    if parsed["start"] > parsed["stop"]:
        raise InvalidArgument("'loop.start' is behind 'loop.stop'.", "The loop runs from start to stop - 1.")
    on_error = loop.get("on_error", "stop")
    if on_error not in ("stop", "skip"):
        raise InvalidArgument("'loop.on_error' is unknown.", "It may be 'stop' or 'skip'.")
    return {**parsed, "on_error": on_error}

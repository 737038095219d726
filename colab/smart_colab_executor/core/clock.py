"""The time of day."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the time as the API writes it: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

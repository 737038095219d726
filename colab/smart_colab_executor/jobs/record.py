"""The record of a job, as it is on disk."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..wire.state import JobState


@dataclass
class Record:
    """The record in `job.json`: with the request on the first line, and in its final form on the second."""

    id: str
    boot_id: str
    created_at: str
    state: JobState = "queued"
    reason: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    execution_time_sec: float | None = None
    kernel_id: str | None = None
    variables_lost: bool = False
    kernel_exit: dict[str, Any] | None = None
    last_seq: int = 0
    events_bytes: int = 0
    log_bytes_at_end: int | None = None
    address: str | None = None
    completed: int | None = None

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Record:
        """Parse a record. Raises TypeError for a malformed one."""
        record = cls(**fields)
        for name, kind in get_type_hints(cls).items():
            if not _is_of(getattr(record, name), kind):
                raise TypeError(f"{name} is malformed")
        return record


def _is_of(value: object, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return value in get_args(kind)
    if origin is UnionType:
        return any(_is_of(value, part) for part in get_args(kind))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, origin or kind)

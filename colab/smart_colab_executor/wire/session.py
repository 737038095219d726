"""`/sessions`, `/variables` and `/cleanup`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class Session(TypedDict):
    """A named kernel."""

    name: str
    state: Literal["starting", "idle", "busy", "dead"]
    adopted: str | None
    kernel_id: str | None
    started_at: str | None
    running_job: str | None
    queued_jobs: int
    execution_count: int
    idle_sec: float | None
    memory_mb: float | None


class SessionList(TypedDict):
    """`GET /sessions`."""

    sessions: list[Session]


class Restarted(TypedDict):
    """`POST /sessions/{name}/restart`."""

    session: Session
    ended_jobs: list[str]


class Removed(TypedDict):
    """`DELETE /sessions/{name}`."""

    ended_jobs: list[str]


class Variable(TypedDict):
    """One of the user's variables."""

    name: str
    type: str
    shape: list[int] | None
    length: int | None
    bytes: int | None
    repr: str


class Variables(TypedDict):
    """`GET /variables`."""

    session: str
    kernel_id: str | None
    source: Literal["live", "snapshot", "none"]
    as_of: str | None
    variables: list[Variable]
    total: int


class CleanupRequest(TypedDict):
    """The body of `POST /cleanup`."""

    session: NotRequired[str]
    temp_files: NotRequired[bool]
    variables: NotRequired[list[str] | None]


class Cleanup(TypedDict):
    """`POST /cleanup`."""

    session: str
    cleared_variables: list[str]
    held_by: list[str]
    collected_objects: int
    cuda_cache_emptied: bool
    figures_closed: int
    deleted_files: list[str]
    memory_before_gb: float
    memory_after_gb: float
    freed_mb: float

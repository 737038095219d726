"""`/health` and `/probe`, the ready line and the audit log."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from .session import Session
from .state import JobState, Reason


class Health(TypedDict):
    """`GET /health`."""

    status: Literal["ok"]
    uptime_minutes: float
    memory_available_gb: float
    memory_used_pct: float
    version: str


class Executor(TypedDict):
    """The executor itself."""

    version: str
    api: int
    boot_id: str
    uptime_minutes: float
    root: str


class Platform(TypedDict):
    """The operating system."""

    system: str
    release: str
    machine: str
    colab: bool
    age_sec: int | None


class Python(TypedDict):
    """The interpreter that runs the kernels."""

    version: str
    implementation: str
    executable: str


class Compute(TypedDict):
    """Processors and memory."""

    cpu_model: str | None
    cpu_count: int
    load_1m: float | None
    memory_total_gb: float
    memory_available_gb: float
    memory_used_pct: float


class Gpu(TypedDict):
    """One GPU."""

    index: int
    name: str | None
    memory_total_gb: float | None
    memory_used_gb: float | None
    utilization_pct: float | None
    temperature_c: float | None
    driver_version: str | None
    cuda_version: str | None


class Storage(TypedDict):
    """A disk."""

    path: str
    total_gb: float
    free_gb: float
    used_pct: float


class Limits(TypedDict):
    """The limits that both sides observe."""

    max_timeout_sec: int
    max_wait_sec: int
    max_body_bytes: int
    max_code_head_chars: int
    session_name: str


class Machine(TypedDict):
    """Facts about the machine."""

    platform: Platform
    python: Python
    compute: Compute
    gpu: list[Gpu]
    gpu_note: str | None
    storage: list[Storage]
    packages: dict[str, str | None]
    package_count: int


class Probe(Machine):
    """`GET /probe`."""

    executor: Executor
    limits: Limits
    sessions: list[Session]


class Ready(TypedDict):
    """The line on stdout and in the ready file."""

    url: str
    boot_id: str
    version: str
    pid: int
    token: NotRequired[str]


class JobEnded(TypedDict):
    """A line of the audit: a job that ended."""

    at: str
    event: Literal["job"]
    id: str
    session: str
    address: str | None
    state: JobState
    reason: Reason | None
    execution_time_sec: float | None


class RequestRefused(TypedDict):
    """A line of the audit: a request that was refused."""

    at: str
    event: Literal["refused"]
    address: str
    status: int
    code: str
    path: str


class MoreRefused(TypedDict):
    """A line of the audit: the number of refusals before it without lines of their own."""

    at: str
    event: Literal["refused_more"]
    count: int


AuditLine = JobEnded | RequestRefused | MoreRefused

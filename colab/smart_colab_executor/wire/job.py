"""`/jobs` and `/execute`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from .event import Event, PythonError
from .state import JobState, KernelExit, Reason


class Loop(TypedDict):
    """The iterations of a job."""

    start: int
    stop: int
    total: int
    on_error: Literal["stop", "skip"]
    batch_size: NotRequired[int | None]
    cluster: NotRequired[str | None]


class LoopRequest(Loop):
    """The iterations to run, with the code that prepares them."""

    setup: NotRequired[str | None]
    worker_setup: NotRequired[str | None]
    numbers: NotRequired[list[int] | None]


class JobRequest(TypedDict):
    """The body of `PUT /jobs/{id}`."""

    code: str
    session: NotRequired[str]
    timeout_sec: NotRequired[float]
    loop: NotRequired[LoopRequest | None]
    kernel_id: NotRequired[str | None]
    folder: NotRequired[str | None]
    answers: NotRequired[bool]


class Question(TypedDict):
    """What a job's code asks the user."""

    number: int
    prompt: str


class InputRequest(TypedDict):
    """The body of `POST /jobs/{id}/input`."""

    number: int
    value: str | None


class ClusterWorker(TypedDict):
    """A worker process of a cluster."""

    name: str
    threads: int
    memory_bytes: int
    limit_bytes: int | None
    tasks_running: int
    tasks_waiting: int


class ClusterView(TypedDict):
    """The cluster that a job's loop runs on."""

    scheduler: str
    dashboard: str | None
    worker_count: int
    threads: int
    memory_bytes: int
    limit_bytes: int | None
    tasks_running: int
    tasks_waiting: int
    workers: list[ClusterWorker]


class Job(TypedDict):
    """The current state of a job."""

    id: str
    session: str
    state: JobState
    reason: Reason | None
    code_head: str
    timeout_sec: float
    loop: Loop | None
    completed: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    execution_time_sec: float | None
    kernel_id: str | None
    boot_id: str
    variables_lost: bool
    kernel_exit: KernelExit | None
    last_seq: int
    log_bytes: int
    log_bytes_at_end: int | None
    queue_position: int | None
    behind: str | None
    new_session: bool
    asking: Question | None
    cluster: ClusterView | None


class EventPage(TypedDict):
    """Some events of a job, and the job's state just after them."""

    job: Job
    events: list[Event]
    next: int
    more: bool


class JobList(TypedDict):
    """`GET /jobs`."""

    jobs: list[Job]


class JobReply(TypedDict):
    """A job alone."""

    job: Job


class ExecuteRequest(TypedDict):
    """The body of `POST /execute`."""

    code: str
    timeout: NotRequired[float]
    session: NotRequired[str]


class Execution(TypedDict):
    """`POST /execute`."""

    success: bool
    state: JobState
    job_id: str
    stdout: str
    stderr: str
    result: str | None
    error: PythonError | None
    execution_time_sec: float | None
    memory_before_gb: float | None
    memory_after_gb: float | None
    memory_delta_mb: float | None
    warning: str | None


class CellNames(TypedDict):
    """The names that a cell defines and uses; `opaque` if its text does not tell all of them."""

    defines: list[str]
    uses: list[str]
    opaque: bool


class ConsentRequest(TypedDict):
    """The body of `POST /consents`."""

    statement: str


class NamesRequest(TypedDict):
    """The body of `POST /names`."""

    cells: list[str]


class NamesReply(TypedDict):
    """The reply to `POST /names`: one for each cell, in order."""

    cells: list[CellNames]

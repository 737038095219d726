"""Events: the output of a job."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from .state import JobState, KernelExit, Reason


class Blob(TypedDict):
    """A reference in an event to a value that is stored beside it."""

    blob: int
    bytes: int
    head: NotRequired[str]
    tail: NotRequired[str]


class Started(TypedDict):
    """A kernel started the job."""

    seq: int
    at: str
    type: Literal["started"]
    kernel_id: str
    execution_count: int


class Stream(TypedDict):
    """Printed text."""

    seq: int
    at: str
    type: Literal["stream"]
    name: Literal["stdout", "stderr"]
    text: str
    log_at: NotRequired[int]
    widget: NotRequired[str]


class Display(TypedDict):
    """A displayed value: `data` holds a text, a JSON value or a `Blob` for each media type."""

    seq: int
    at: str
    type: Literal["display_data", "execute_result"]
    data: dict[str, Any]
    metadata: dict[str, Any]
    update: NotRequired[bool]
    display_id: NotRequired[str]
    live: NotRequired[bool]
    execution_count: NotRequired[int]
    log_at: NotRequired[int]
    widget: NotRequired[str]


class ClearOutput(TypedDict):
    """The output shown so far is cleared."""

    seq: int
    at: str
    type: Literal["clear_output"]
    wait: bool
    widget: NotRequired[str]


class Widgets(TypedDict):
    """The states of the widgets that changed."""

    seq: int
    at: str
    type: Literal["widgets"]
    states: Blob


class PythonError(TypedDict):
    """An exception of the user's code."""

    ename: str
    evalue: str
    traceback: list[str]


class Failed(PythonError):
    """An exception, as an event."""

    seq: int
    at: str
    type: Literal["error"]
    log_at: NotRequired[int]
    widget: NotRequired[str]


class Batch(TypedDict):
    """A batch of iterations starts."""

    seq: int
    at: str
    type: Literal["batch"]
    start: int
    stop: int


class Progress(TypedDict):
    """The end of an iteration."""

    seq: int
    at: str
    type: Literal["progress"]
    completed: int
    total: int
    message: str | None
    iteration: int | None
    result: Any
    marked: dict[str, int] | None
    error: PythonError | None


class Reruns(TypedDict):
    """Iterations of a loop on a cluster that ran more than once, or in vain: at most these."""

    began_again: int
    uncounted: int


class Finished(TypedDict):
    """The last event of every job."""

    seq: int
    at: str
    type: Literal["finished"]
    state: JobState
    reason: Reason | None
    execution_time_sec: float | None
    variables_lost: bool
    kernel_exit: KernelExit | None
    exit_code: int | None
    reruns: Reruns | None
    memory_before_gb: float | None
    memory_after_gb: float | None
    memory_delta_mb: float | None
    warning: str | None
    packages: dict[str, str | None]


Event = Started | Stream | Display | ClearOutput | Widgets | Failed | Batch | Progress | Finished

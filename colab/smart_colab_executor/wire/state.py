"""The states of a job, and the reasons for its end."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

JobState = Literal["queued", "running", "succeeded", "failed", "interrupted", "timed_out", "lost"]
Reason = Literal[
    "python_error",
    "kernel_died",
    "timeout",
    "interrupted",
    "session_restarted",
    "session_deleted",
    "executor_stopped",
    "executor_restarted",
    "kernel_replaced",
    "disk_full",
    "exited",
]


class KernelExit(TypedDict):
    """The end of a kernel's process."""

    signal: str | None
    code: int | None
    out_of_memory: bool
    # The process that all kernels are forked from was killed or crashed, and its kernels ended with it.
    orphaned: NotRequired[bool]

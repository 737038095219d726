"""The ends of jobs in a session."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from ..in_kernel.messages import CellExited
from ..jobs.job import Ending

# ipykernel's `ename` for code that raised no exception.
NO_ERROR = "NoneType"
UNKNOWN_EXIT = {"signal": None, "code": None, "out_of_memory": False}
KERNEL_DIED = Ending("failed", "kernel_died", variables_lost=True, kernel_exit=UNKNOWN_EXIT)
KILLED_AT_TIMEOUT = Ending("timed_out", "timeout", variables_lost=True)
INTERRUPTED = Ending("interrupted", "interrupted")
DISK_FULL = Ending("failed", "disk_full")
SUCCEEDED = Ending("succeeded")
KERNEL_REPLACED = Ending("lost", "kernel_replaced")
# The kernel of the job ended between two of its steps.
KERNEL_GONE = Ending("lost", "kernel_replaced", variables_lost=True)
# Not the end: a step has succeeded and there is a next one.
GOES_ON = Ending("running")


def read_reply(reply: dict[str, Any] | None, shown: Set[str]) -> tuple[bool, dict[str, Any] | None]:
    """Return whether the code ran to its end, by a kernel's reply and the kinds of messages `shown`.

    Also return the content of an `error` that is only in the reply.
    """
    if reply is None or reply["status"] != "error":
        return reply is not None and reply["status"] == "ok", None
    ename, evalue = reply.get("ename"), reply.get("evalue")
    if ename == CellExited.__name__:
        return True, None
    if ename == NO_ERROR:
        # A formatter failed, of this cell's result or of an earlier one's.
        return "execute_result" in shown or "error" not in shown, None
    if "error" in shown:
        return False, None
    return False, {"ename": ename, "evalue": evalue, "traceback": reply.get("traceback") or [f"{ename}: {evalue}"]}

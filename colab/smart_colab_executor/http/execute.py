"""`POST /execute`: a job with its whole output in one reply, for curl and simple clients."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..jobs.job import Job
from ..wire.event import PythonError
from ..wire.job import Execution

MAX_STREAM_BYTES = 1024 * 1024


def summary(job: Job) -> Execution:
    """Summarize a finished job; stdout and stderr are cut to their last 1 MiB."""
    streams = {"stdout": _Tail(), "stderr": _Tail()}
    result: str | None = None
    error: PythonError | None = None
    finished: dict[str, Any] = {}
    for event in job.spool.events():
        match event["type"]:
            case "stream":
                streams[event["name"]].add(event["text"])
            case "execute_result":
                result = event["data"].get("text/plain")
            case "error":
                error = PythonError(ename=event["ename"], evalue=event["evalue"], traceback=event["traceback"])
            case "finished":
                finished = event
    return {
        "success": job.record.state == "succeeded",
        "state": job.record.state,
        "job_id": job.id,
        "stdout": streams["stdout"].text(),
        "stderr": streams["stderr"].text(),
        "result": result,
        "error": error,
        "execution_time_sec": finished.get("execution_time_sec"),
        "memory_before_gb": finished.get("memory_before_gb"),
        "memory_after_gb": finished.get("memory_after_gb"),
        "memory_delta_mb": finished.get("memory_delta_mb"),
        "warning": finished.get("warning"),
    }


class _Tail:
    """The end of a long text."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, text: str) -> None:
        piece = text.encode()
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= MAX_STREAM_BYTES:
            self._size -= len(self._pieces.popleft())

    def text(self) -> str:
        return b"".join(self._pieces)[-MAX_STREAM_BYTES:].decode("utf-8", "ignore")

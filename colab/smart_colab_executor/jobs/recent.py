"""The jobs that were used last, which stay in memory."""

from __future__ import annotations

from collections import deque

from .job import Job

MAX_JOBS = 256
MAX_CODE_CHARS = 8 * 1024**2


class Recent:
    """Keeps the jobs used last in memory: MAX_JOBS, with MAX_CODE_CHARS of code in all."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Job, int]] = deque()
        self._chars = 0

    def keep(self, job: Job) -> None:
        """Keep a job, and let go of others."""
        chars = sum(map(len, job.request.sources()))
        self._jobs.append((job, chars))
        self._chars += chars
        while self._jobs and (len(self._jobs) > MAX_JOBS or self._chars > MAX_CODE_CHARS):
            _, chars = self._jobs.popleft()
            self._chars -= chars

"""The ends of an executor that nothing stops: it is not used any more, or what it serves is gone."""

from __future__ import annotations

import time

import psutil


class Endings:
    """Reports when to end, of the reasons that were asked for."""

    def __init__(self, idle_sec: float | None, pid: int | None) -> None:
        """Raise ValueError if there is no such process."""
        self._idle_sec = idle_sec
        self._used = time.monotonic()
        try:
            # Knows the time of its start: its number may be given to another process later.
            self._process = None if pid is None else psutil.Process(pid)
        except psutil.Error as error:
            raise ValueError(f"there is no process {pid}") from error

    def note_use(self) -> None:
        """Begin to count anew."""
        self._used = time.monotonic()

    def reason(self, *, is_busy: bool) -> str | None:
        """Return why to end now, None to go on. A busy executor is in use."""
        if is_busy:
            self.note_use()
        if self._process is not None and not _is_running(self._process):
            return f"process {self._process.pid} has ended"
        if self._idle_sec is not None and time.monotonic() - self._used > self._idle_sec:
            return f"no job and no request for {self._idle_sec:.0f} s"
        return None


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True

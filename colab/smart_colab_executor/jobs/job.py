"""A job: its request, its state and output, all of it on disk.

Only the kernels' thread changes a job's state, any thread may read it; `job.changed` guards it and wakes waiters.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ..core.clock import now
from ..core.disk import append_whole, write_atomically
from ..in_kernel.jsonline import dump
from ..in_kernel.messages import CLUSTER_TYPE, FAILED_TYPE, REPORTED_TYPE, RERUNS_TYPE
from ..machine import probe
from ..wire.state import JobState
from . import outputs, reports
from .headline import headline
from .memory_use import MemoryUse
from .questions import Questions
from .record import Record
from .reports import Reports
from .request import JobRequest
from .spool import Spool
from .steps import Step, steps

log = logging.getLogger(__name__)

STATES: tuple[JobState, ...] = get_args(JobState)
FINAL_STATES = frozenset(STATES[2:])
RECORD = "job.json"
MAX_HOLD_SEC = 25
# For a job that asks: its reader is to know soon, and not to ask all the time.
MAX_ASKING_HOLD_SEC = 1.0
MAX_CODE_HEAD_CHARS = 120


@dataclass(frozen=True)
class Ending:
    """The end of a job."""

    state: JobState
    reason: str | None = None
    variables_lost: bool = False
    kernel_exit: dict[str, Any] | None = None


@dataclass
class Page:
    """Some events of a job, as lines of JSON, and the job's state just after them."""

    job: dict[str, Any]
    events: list[bytes]
    next: int
    more: bool


@dataclass(frozen=True)
class Place:
    """A place in a session's queue: the position, from 1, and the id of the job that has the kernel, if one has."""

    position: int
    behind: str | None


@dataclass(eq=False)
class Job:
    """One piece of code, run once in one session, step by step."""

    request: JobRequest
    record: Record
    folder: Path
    spool: Spool
    reports: Reports
    on_end: Callable[[Job], None] = lambda job: None
    # What has changed among the machine's packages.
    packages: Callable[[], dict[str, str | None]] = dict
    # Where it waits; meaningless once it runs.
    place: Place | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    # The running or the next step.
    step: Step = field(init=False)
    # Whether the job waits for its turn to run its first or its next step.
    is_waiting: bool = True
    questions: Questions = field(default_factory=Questions)
    note: str | None = None  # shown before its output
    # Whether sending it made its session.
    is_first: bool = False
    _steps: Iterator[Step] = field(init=False)
    _record_path: Path = field(init=False)
    _headline: str = field(init=False)
    _has_broken: bool = False
    _lacks_output: bool = False
    _started: float = 0.0
    _memory: MemoryUse = field(default_factory=MemoryUse)
    # Of the last `!command` that failed.
    _exit_code: int | None = None
    # As last seen, in the form of `in_kernel.cluster_view`.
    _cluster: dict[str, Any] | None = None
    _reruns: dict[str, int] | None = None
    _interrupts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._steps = steps(self.id, self.request)
        self.step = next(self._steps)
        self._record_path = self.folder / RECORD
        self._headline = headline(self.request.code)[:MAX_CODE_HEAD_CHARS]

    @property
    def id(self) -> str:
        """The UUID that the client chose."""
        return self.record.id

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, in any state."""
        return self.record.state in FINAL_STATES

    @property
    def is_held_up(self) -> bool:
        """Whether no output can follow by itself: the job has ended, or its code asks."""
        return self.is_final or self.questions.open is not None

    @property
    def has_begun(self) -> bool:
        """Whether a kernel has started the job and it has not ended."""
        return self.record.state == "running"

    def describe(self) -> dict[str, Any]:
        """Return the job as the API shows it."""
        with self.changed:
            shown = dict(vars(self.record))
            place = self.place if self.record.state == "queued" else None
            del shown["events_bytes"], shown["address"]
            shown |= {
                "session": self.request.session,
                "code_head": self._headline,
                "timeout_sec": self.request.timeout_sec,
                "loop": self.request.described_loop(),
                "last_seq": self.spool.last_seq,
                "log_bytes": self.spool.log_bytes,
                "queue_position": place.position if place else None,
                "behind": place.behind if place else None,
                "new_session": self.is_first,
                "asking": self.questions.describe(),
                "cluster": self._cluster if self.record.state == "running" else None,
            }
            if self.record.state == "running":
                shown["execution_time_sec"] = self._elapsed()
            return shown

    def page(self, after: int, wait: float, linger: float, max_bytes: int) -> Page:
        """Return the events after `after`.

        Waits up to `wait` seconds for the first event, then up to `linger` seconds for more. The job's end, a new
        question of its code or `max_bytes` of events end both waits, and together they take at most MAX_HOLD_SEC.
        """
        latest = time.monotonic() + MAX_HOLD_SEC
        with self.changed:
            known = self.questions.open
            if known is not None:
                wait = min(wait, MAX_ASKING_HOLD_SEC)

            def has_news() -> bool:
                return self.spool.last_seq > after or self.is_final or self.questions.open not in (known, None)

            if wait and self.changed.wait_for(has_news, wait):
                self.changed.wait_for(
                    lambda: self.is_held_up or self.spool.bytes_after(after) > max_bytes,
                    min(linger, max(0.0, latest - time.monotonic())),
                )
        # The job is described last: a page with the `finished` event shows a job that is final.
        events = self.spool.read(after, max_bytes)
        last = after + len(events)
        job = self.describe()
        return Page(job, events, last, job["last_seq"] > last)

    def wait(self, timeout_sec: float) -> None:
        """Wait for the job's end, at most `timeout_sec`."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_final, timeout_sec)

    def begin_step(
        self,
        kernel_id: str,
        execution_count: int,
        memory: probe.Memory,
        kernel_memory_mb: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Record that the kernel starts the next step, and the memory at that time. Raises OSError.

        `kernel_memory_mb` measures the kernel's own. Those who wait are woken by `announce`.
        """
        self.restore_files()
        if self._lacks_output:
            raise OSError(errno.ENOSPC, "output between two steps could not be written")
        if self.record.started_at is None:
            self._memory.begin(memory, kernel_memory_mb)
            self._start(kernel_id, execution_count)
        self.is_waiting = False
        if self.step.batch is not None:
            self._begin_batch(self.step.batch)

    def _start(self, kernel_id: str, execution_count: int) -> None:
        self._started = time.monotonic()
        with self.changed:
            self.record.state = "running"
            self.record.kernel_id = kernel_id
            self.record.started_at = now()
            # The record on disk is not updated: a later executor finds the start in the events.
            self.spool.append({"type": "started", "kernel_id": kernel_id, "execution_count": execution_count})
            outputs.record_note(self.spool, self.note)

    def _begin_batch(self, batch: range) -> None:
        """Create the batch's report file. Raises OSError.

        The order matters: a later executor skips as many reports in the file as there are `progress` events after the
        last `batch` event.
        """
        self.reports.clear()
        with self.changed:
            self.spool.append({"type": "batch", "start": batch.start, "stop": batch.stop})
            self.changed.notify_all()
        self.reports.create()

    def end_step(self) -> bool:
        """Advance past a step that succeeded; return whether there is a next one. Raises OSError."""
        if (batch := self.step.batch) is not None:
            self._take_reports()
            self.announce()
            # After a batch with missing reports, a next one would leave a gap.
            if self._has_broken or (self.record.completed or 0) < batch.stop:
                return False
        if (following := next(self._steps, None)) is None:
            return False
        self.step, self.is_waiting = following, True
        return True

    def loop_arguments(self) -> dict[str, Any] | None:
        """Return the loop's arguments for the kernel, sent before the step's code; None if the step is not a batch."""
        loop, batch = self.request.loop, self.step.batch
        if loop is None or batch is None:
            return None
        numbers = loop.get("numbers")
        own = {
            "start": batch.start,
            "stop": batch.stop,
            "numbers": numbers and numbers[batch.start : batch.stop],
            "reports": str(self.reports.path),
        }
        return own | {name: loop.get(name) for name in ("total", "on_error", "cluster", "worker_setup")}

    def requeue(self) -> None:
        """Return the job to the queue: it has not started and waits for another kernel."""
        with self.changed:
            self.record.state, self.record.kernel_id, self.record.started_at = "queued", None, None
            self.is_waiting = True
            self.changed.notify_all()

    def output(self, kind: str, content: dict[str, Any]) -> None:
        """Spool one of the kernel's messages. Raises OSError; then `begin_step` raises it too."""
        if kind == FAILED_TYPE:
            self._exit_code = content["exit_code"]
            return
        if kind == CLUSTER_TYPE:
            self._cluster = content
            return
        if kind == RERUNS_TYPE:
            self._reruns = content
            return
        try:
            if kind == REPORTED_TYPE:
                self._take_reports(content["count"])
            else:
                outputs.record(self.spool, kind, content)
        except OSError:
            self._lacks_output = True
            raise
        self.announce()

    def ask(self, number: int, prompt: str) -> None:
        """Ask the user a question of the code, which waits."""
        with self.changed:
            self.questions.ask(number, prompt)
            self.changed.notify_all()

    def log_late_output(self, text: str) -> None:
        """Append output printed after the job's end to the log; the events are sealed by then."""
        if not text:
            return
        try:
            self.spool.log(text)
        except OSError as error:
            log.warning("job %s: late output cannot be written: %s", self.id, error)
        finally:
            self.spool.close()

    def _take_reports(self, count: int | None = None) -> None:
        """Spool the kernel's reports, up to a total of `count`, or all. Raises OSError."""
        while lines := self.reports.read(count):
            readable = [text for line in lines if (text := reports.readable(line))]
            self.spool.append_all("progress", readable)
            self.reports.take(lines)
            self._has_broken = reports.is_break(lines[-1])
            self.record.completed = (self.record.completed or 0) + len(readable)

    def finish(self, ending: Ending) -> None:
        """End the job; later calls have no effect. Never raises: a full disk must not keep a job from ending."""
        if self.is_final:
            return
        try:
            self.restore_files()
        except OSError as error:
            log.warning("job %s was removed, and cannot be restored: %s", self.id, error)
        with self.changed:
            self.questions.withdraw()
            record = self.record
            record.finished_at = now()
            if record.state == "running":
                record.execution_time_sec = self._elapsed()
            record.state, record.reason = ending.state, ending.reason
            record.variables_lost, record.kernel_exit = ending.variables_lost, ending.kernel_exit
            self._seal()
            record.log_bytes_at_end = self.spool.log_bytes
            # No file has -1 bytes: if the last event is not on disk, a later executor scans the events.
            record.last_seq, record.events_bytes = self.spool.last_seq, self.spool.size if self.spool.is_whole else -1
        self.save_end()
        self.on_end(self)
        # Last: what wakes now would compete for the interpreter with the rest.
        self.announce()

    def save_end(self) -> None:
        """Append the record of a finished job, which saves the next executor a scan of its events."""
        try:
            append_whole(self._record_path, b"\n" + dump(dict(vars(self.record))))
        except OSError as error:
            log.warning("job %s: its end could not be recorded: %s", self.id, error)

    def _seal(self) -> None:
        """Spool the last events: the remaining reports of the kernel, then the end."""
        self.spool.seal()
        if self.request.loop is not None:
            try:
                self._take_reports()
            except OSError as error:
                log.warning("job %s: its reports cannot be read: %s", self.id, error)
        self.spool.append(self._finished_event())
        self.spool.close()
        self.reports.close()
        if self.request.loop is not None and self.spool.is_whole:
            with suppress(OSError):
                self.reports.remove()

    def _finished_event(self) -> dict[str, Any]:
        return {
            "type": "finished",
            "state": self.record.state,
            "reason": self.record.reason,
            "execution_time_sec": self.record.execution_time_sec,
            "variables_lost": self.record.variables_lost,
            "kernel_exit": self.record.kernel_exit,
            "exit_code": self._exit_code,
            "reruns": self._reruns,
            **self._memory.facts(),
            "packages": self.packages(),
        }

    def is_new_request(self, request_id: str) -> bool:
        """Return whether an interrupt is not a repeated request: a retry must not interrupt the code's cleanup."""
        with self.changed:
            is_new = request_id not in self._interrupts
            self._interrupts.add(request_id)
            return is_new

    def restore_files(self) -> None:
        """Restore removed files of a job that has not ended. Raises OSError."""
        if not self.is_final and not self._record_path.exists():
            self.spool.restore()
            self.save()

    def announce(self) -> None:
        """Wake those who wait for events."""
        with self.changed:
            self.changed.notify_all()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def save(self) -> None:
        """Write the request and the current record. Raises OSError."""
        write_atomically(
            self._record_path, dump({"request": dict(vars(self.request)), "record": dict(vars(self.record))})
        )

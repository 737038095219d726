"""A job and all jobs: what was asked, what became of it, and both on disk.

A job's state is changed by the kernels' thread alone and read by any; `job.changed` guards it and wakes those who wait.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from . import outputs, probe, reports
from .errors import BootChanged, Busy, DiskFull, InvalidArgument, JobConflict, NotFound
from .jsonline import dump
from .loop_runner import REPORTED_TYPE
from .reports import Reports
from .requests import JobRequest, uuid_text
from .spool import Spool, now, write_atomically

log = logging.getLogger(__name__)

State = Literal["queued", "running", "succeeded", "failed", "interrupted", "timed_out", "lost"]
STATES: tuple[State, ...] = ("queued", "running", "succeeded", "failed", "interrupted", "timed_out", "lost")
FINAL_STATES = frozenset(STATES[2:])
RECORD = "job.json"
MAX_HOLD_SEC = 25
MAX_CODE_HEAD_CHARS = 120
MAX_WAITING_JOBS = 100
LOW_MEMORY_PCT = 90.0


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    state: State
    reason: str | None = None
    variables_lost: bool = False
    kernel_exit: dict[str, Any] | None = None


@dataclass
class Record:
    """What `job.json` holds beside the request."""

    id: str
    boot_id: str
    created_at: str
    state: State = "queued"
    reason: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    execution_time_sec: float | None = None
    kernel_id: str | None = None
    variables_lost: bool = False
    kernel_exit: dict[str, Any] | None = None
    last_seq: int = 0
    events_bytes: int = 0
    log_bytes_at_end: int | None = None
    address: str | None = None


@dataclass
class Page:
    """Some events of a job, as lines of JSON, and the job as it was just after them."""

    job: dict[str, Any]
    events: list[bytes]
    next: int
    more: bool


@dataclass(eq=False)
class Job:
    """One piece of code, run once in one session."""

    request: JobRequest
    record: Record
    folder: Path
    spool: Spool
    reports: Reports
    on_end: Callable[[Job], None] = lambda job: None
    queue_position: int | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    _started: float = 0.0
    _memory_before_gb: float | None = None
    _interrupts: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The caller's UUID."""
        return self.record.id

    @property
    def is_final(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.record.state in FINAL_STATES

    def describe(self) -> dict[str, Any]:
        """The job as the API shows it."""
        with self.changed:
            shown = asdict(self.record)
            del shown["events_bytes"], shown["address"]
            lines = self.request.code.strip().splitlines()
            shown |= {
                "session": self.request.session,
                "code_head": lines[0][:MAX_CODE_HEAD_CHARS] if lines else "",
                "timeout_sec": self.request.timeout_sec,
                "loop": self.request.loop,
                "last_seq": self.spool.last_seq,
                "log_bytes": self.spool.log_bytes,
                "queue_position": self.queue_position,
            }
            if self.record.state == "running":
                shown["execution_time_sec"] = self._elapsed()
            return shown

    def page(self, after: int, wait: float, linger: float, max_bytes: int) -> Page:
        """The events behind `after`.

        With `wait` (seconds) it waits for the first of them, and then, for company, `linger` seconds at most; the job's
        end and `max_bytes` end both, and together they take no longer than MAX_HOLD_SEC.
        """
        latest = time.monotonic() + MAX_HOLD_SEC
        with self.changed:
            if wait and self.changed.wait_for(lambda: self.spool.last_seq > after or self.is_final, wait):
                self.changed.wait_for(
                    lambda: self.is_final or self.spool.size_behind(after) > max_bytes,
                    min(linger, max(0.0, latest - time.monotonic())),
                )
        # The job is described last: a page with the `finished` event shows a job that is final.
        events = self.spool.read(after, max_bytes)
        last = after + len(events)
        job = self.describe()
        return Page(job, events, last, job["last_seq"] > last)

    def wait(self) -> None:
        """Wait for the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_final)

    def start(self, kernel_id: str, execution_count: int) -> None:
        """The kernel has begun with it. Raises OSError."""
        if self.request.loop is not None:
            self.reports.create()
        self._started = time.monotonic()
        self._memory_before_gb = probe.memory().available_gb
        with self.changed:
            self.record.state = "running"
            self.record.kernel_id = kernel_id
            self.record.started_at = now()
            self.queue_position = None
            # The record is left behind: whoever reads the job back finds it here.
            self.spool.append({"type": "started", "kernel_id": kernel_id, "execution_count": execution_count})
            self.changed.notify_all()

    def output(self, kind: str, content: dict[str, Any]) -> None:
        """Spool one of the kernel's messages. Raises OSError."""
        if kind == REPORTED_TYPE:
            self._take_reports(content["count"])
        else:
            outputs.record(self.spool, kind, content)
        with self.changed:
            self.changed.notify_all()

    def late(self, text: str) -> None:
        """Keep what a thread or a process of the job's prints after its end: in the log, for the events are sealed."""
        try:
            self.spool.log(text)
        except OSError as error:
            log.warning("job %s: late output cannot be written down: %s", self.id, error)
        finally:
            self.spool.close()

    def _take_reports(self, count: int | None = None) -> None:
        """Spool what the kernel has reported, the first `count` reports or all. Raises OSError."""
        while lines := self.reports.read(count):
            self.spool.append_all("progress", [text for line in lines if (text := reports.readable(line))])
            self.reports.take(lines)

    def finish(self, ending: Ending) -> None:
        """The end, once: what comes later is passed over. Never raises: a full disk must not keep a job from ending."""
        if self.is_final:
            return
        with self.changed:
            record = self.record
            record.finished_at = now()
            if record.state == "running":
                record.execution_time_sec = self._elapsed()
            record.state, record.reason = ending.state, ending.reason
            record.variables_lost, record.kernel_exit = ending.variables_lost, ending.kernel_exit
            self.queue_position = None
            self._seal()
            record.log_bytes_at_end = self.spool.log_bytes
            # No file has -1 bytes: where the last event is not on disk, whoever reads the job back looks for himself.
            record.last_seq, record.events_bytes = self.spool.last_seq, self.spool.size if self.spool.is_whole else -1
            self.changed.notify_all()
        self.on_end(self)

    def save_end(self) -> None:
        """Write the record of a finished job, which spares the next executor the look at all of its events."""
        try:
            self._save()
        except OSError as error:
            log.warning("job %s: its end could not be written down: %s", self.id, error)

    def _seal(self) -> None:
        """Spool the last events: what the kernel reported and nobody has asked for yet, then the end."""
        self.spool.seal()
        try:
            self._take_reports()
        except OSError as error:
            log.warning("job %s: its reports cannot be read: %s", self.id, error)
        self.spool.append(self._finished_event())
        self.spool.close()
        if self.spool.is_whole:
            self.reports.remove()
        else:
            self.reports.close()

    def _finished_event(self) -> dict[str, Any]:
        before = self._memory_before_gb
        after = probe.memory() if before is not None else None
        return {
            "type": "finished",
            "state": self.record.state,
            "reason": self.record.reason,
            "execution_time_sec": self.record.execution_time_sec,
            "variables_lost": self.record.variables_lost,
            "kernel_exit": self.record.kernel_exit,
            "memory_before_gb": before,
            "memory_after_gb": after.available_gb if after else None,
            "memory_delta_mb": round((before - after.available_gb) * 1024, 1) if after and before is not None else None,
            "warning": (
                f"{after.used_pct:.0f} % of the memory is used; free some before the next step."
                if after and after.used_pct >= LOW_MEMORY_PCT
                else None
            ),
        }

    def is_asked_anew(self, request_id: str) -> bool:
        """Whether an interrupt is no repetition: code that tidies up after one is not to be interrupted in that."""
        with self.changed:
            is_new = request_id not in self._interrupts
            self._interrupts.add(request_id)
            return is_new

    def age(self) -> float:
        """Seconds since the kernel began with it."""
        return time.monotonic() - self._started

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def _save(self) -> None:
        write_atomically(self.folder / RECORD, dump({"request": asdict(self.request), "record": asdict(self.record)}))


class JobStore:
    """All jobs, in memory and under `folder`, in the order of their making."""

    def __init__(self, folder: Path, boot_id: str, on_end: Callable[[Job], None] = lambda job: None) -> None:
        self._folder = folder
        self._boot_id = boot_id
        # Of all starts on this folder, this one among them.
        self.boots = frozenset({boot_id})
        self._on_end = on_end
        # Nobody waits for what is written down of an end, so it holds up no kernel's next job.
        self._ends = ThreadPoolExecutor(1, "ends")
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[str, Job] = {}

    def __enter__(self) -> JobStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.shutdown()

    def load(self) -> None:
        """Read back what earlier executors left; their unfinished jobs are lost. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = []
        for folder in self._folder.iterdir():
            if not (folder / RECORD).exists():
                continue
            try:
                found.append(_recover(folder, self._note_end))
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("jobs/%s cannot be read back and is left alone: %s", folder.name, type(error).__name__)
        self._jobs = {job.id: job for job in sorted(found, key=lambda job: (job.record.created_at, job.id))}

    def add(
        self, job_id: str, request: JobRequest, *, address: str | None = None, expected_boot_id: str | None = None
    ) -> tuple[Job, bool]:
        """The job of this id, and whether it is new. It is on disk then.

        Raises JobConflict when the id stands for another request, DiskFull when it cannot be written, Busy when too
        many wait for their turn already, BootChanged when it is unknown here and was meant for another executor, where
        its code may have run.
        """
        with self._lock:
            known = self._jobs.get(job_id)
            if known is not None:
                if known.request != request:
                    raise JobConflict(
                        f"Job {job_id} exists with other code, session, timeout or loop.",
                        "Use a new UUID for new code.",
                    )
                return known, False
            folder = self._folder / job_id
            if (folder / RECORD).exists():
                raise JobConflict(f"Job {job_id} is known, but its record cannot be read.", "Use a new UUID.")
            if expected_boot_id is not None and expected_boot_id not in self.boots:
                raise BootChanged(
                    f"Job {job_id} is not known here, and was sent to another executor before.",
                    "Its code may have run there. Look at what it did, then send it under a new id to run it here.",
                )
            self._check_queue(request.session)
            try:
                # It may be there without a record: a crash came before anything was run.
                folder.mkdir(parents=True, exist_ok=True)
                record = Record(job_id, self._boot_id, now(), address=address)
                job = Job(request, record, folder, Spool.create(folder), Reports(folder), self._note_end)
                job._save()
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                remedy = "Free space on the disk" if full else f"Check that {self._folder} can be written to"
                raise DiskFull(
                    f"The job could not be written down: {error.strerror}.", f"{remedy}; nothing was run."
                ) from error
            self._jobs[job_id] = self._waiting[job_id] = job
            return job, True

    def _note_end(self, job: Job) -> None:
        self._ends.submit(self._write_end, job)

    def _write_end(self, job: Job) -> None:
        job.save_end()
        self._on_end(job)

    def _check_queue(self, session: str) -> None:
        """Raises Busy. With the lock held."""
        self._waiting = {job_id: job for job_id, job in self._waiting.items() if job.record.state == "queued"}
        if sum(job.request.session == session for job in self._waiting.values()) >= MAX_WAITING_JOBS:
            raise Busy(
                f"{MAX_WAITING_JOBS} jobs wait in session {session} already; this one was not taken.",
                "Wait for some to end, interrupt those that are not needed, or use another session.",
                status=409,
                retryable=False,
            )

    def get(self, job_id: str) -> Job:
        """Raises InvalidArgument for what is no UUID, NotFound for an unknown one."""
        job = self._jobs.get(parse_id(job_id))
        if job is None:
            raise NotFound(f"There is no job {job_id}.", "It was never sent here, or went with another machine.")
        return job

    def newest(self, state: str | None, session: str | None, limit: int) -> list[Job]:
        """Up to `limit` jobs, newest first, of one state or session or of any. Raises InvalidArgument."""
        if state is not None and state not in STATES:
            raise InvalidArgument(f"There is no state {state!r}.", f"The states are {', '.join(STATES)}.")
        with self._lock:
            jobs = list(reversed(self._jobs.values()))
        found = (job for job in jobs if state in (None, job.record.state) and session in (None, job.request.session))
        return list(islice(found, limit))


def parse_id(text: str) -> str:
    """A job's id as it is kept. Raises InvalidArgument."""
    return uuid_text(text, "The job's id")


def _recover(folder: Path, on_end: Callable[[Job], None]) -> Job:
    saved = json.loads((folder / RECORD).read_bytes())
    record = Record(**saved["record"])
    if record.id != folder.name:
        raise ValueError(folder.name)
    spool = Spool.recover(folder, record.last_seq, record.events_bytes)
    job = Job(JobRequest(**saved["request"]), record, folder, spool, Reports(folder), on_end)
    if job.is_final and spool.last_seq == record.last_seq:
        return job
    last = None
    reported = 0
    for last in job.spool.events():
        reported += last["type"] == "progress"
        if last["type"] == "started" and record.started_at is None:
            record.started_at, record.kernel_id = last["at"], last["kernel_id"]
    if last is not None and last["type"] == "finished":
        # It had ended; only the record is behind.
        record.state, record.reason, record.variables_lost = last["state"], last["reason"], last["variables_lost"]
        record.kernel_exit = last.get("kernel_exit")
        record.finished_at, record.execution_time_sec = last["at"], last["execution_time_sec"]
        record.last_seq, record.events_bytes = spool.last_seq, spool.size
        job.reports.remove()
        on_end(job)
        return job
    job.reports = Reports(folder, reported)
    was_running = record.started_at is not None
    ending = Ending("lost", "executor_restarted", variables_lost=was_running)
    if job.is_final:
        # The disk was full when it ended, so its last event is missing.
        ending = Ending(record.state, record.reason, record.variables_lost, record.kernel_exit)
    record.state = "queued"  # the clock that measured its time is gone
    job.finish(ending)
    return job

"""All jobs: in memory, on disk, and read back at startup."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..core.arguments import uuid_text
from ..core.clock import now
from ..core.disk import NO_ROOM
from ..core.errors import BootChanged, Busy, DiskFull, ExecutorError, InvalidArgument, JobConflict, NotFound, Occupied
from ..core.spoiled import ERRORS, check_regular, clear_place
from .job import FINAL_STATES, RECORD, STATES, Ending, Job, Place, Record
from .neighbours import Neighbours, ended
from .reports import FILE as REPORTS
from .reports import Reports
from .request import JobRequest
from .spool import EVENTS, Spool

log = logging.getLogger(__name__)

MAX_WAITING_JOBS = 100


class JobStore:
    """All jobs, in memory and under `folder`, in the order of creation."""

    def __init__(
        self,
        folder: Path,
        boot_id: str,
        on_end: Callable[[Job], None] = lambda job: None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._folder = folder
        self._boot_id = boot_id
        # The boot ids of all starts on this folder, including this one.
        self.boots = frozenset({boot_id})
        self._on_end = on_end
        self._neighbours = neighbours
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._unreadable: set[str] = set()
        self._unfinished: dict[str, Job] = {}

    def load(self, unread: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Read back the jobs of earlier executors; unfinished ones are lost. Raises OSError.

        `unread` is output of their kernels that they had not read: streams and texts by job id.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._keep(self._read_back(self._folder, unread))
        with self._lock:
            self._adopt(self._neighbours.with_jobs() if self._neighbours else [])

    def _read_back(self, jobs: Path, unread: Mapping[str, Sequence[tuple[str, str]]]) -> list[Job]:
        found = []
        for folder in jobs.iterdir():
            try:
                if (folder / RECORD).exists():
                    found.append(_recover(folder, self._on_end, unread.get(folder.name, ())))
            except (*ERRORS, InvalidArgument) as error:
                # Not set aside: its code may have run and must not run again under this id.
                self._unreadable.add(folder.name)
                log.warning("jobs/%s cannot be read back and is left in place: %s", folder.name, type(error).__name__)
        return found

    def _keep(self, found: Iterable[Job]) -> None:
        jobs = [*self._jobs.values(), *found]
        self._jobs = {job.id: job for job in sorted(jobs, key=lambda job: (job.record.created_at, job.id))}

    def _adopt(self, states: Iterable[Path]) -> None:
        """Take over the jobs of the executors that have ended. Call with the lock held."""
        for state in states:
            adopted: list[Job] = []
            try:
                with ended(state) as unread:
                    # They end in their own folder: they stay readable even if the move fails.
                    for job in self._read_back(state / "jobs", unread):
                        adopted += self._moved(job)
                    for folder in list((state / "jobs").iterdir()):
                        if folder.is_dir() and not (folder / RECORD).exists():  # a crash before anything was run
                            folder.rename(self._folder / folder.name)
            except BlockingIOError:
                continue  # it is running
            except OSError as error:
                log.warning("jobs in %s stay there: %s", state, error)
            if adopted:
                log.info("took over %d jobs from %s: its executor has ended", len(adopted), state)
                self._keep(adopted)

    def _moved(self, job: Job) -> list[Job]:
        """Move a job to our own folder; return it, or nothing if it cannot be moved."""
        try:
            return [_recover(job.folder.rename(self._folder / job.id), self._on_end, ())]
        except (*ERRORS, InvalidArgument) as error:
            log.warning("job %s stays in %s: %s", job.id, job.folder, error)
            return []

    def _find(self, job_id: str) -> Job | None:
        """Find a neighbour's job: take it over, or read it in place if it has ended. Call with the lock held."""
        if self._neighbours is None:
            return None
        self._adopt(self._neighbours.with_job(job_id))
        if job_id in self._jobs:
            return self._jobs[job_id]
        found = (_read_only(state / "jobs" / job_id) for state in self._neighbours.with_job(job_id))
        return next(filter(None, found), None)

    def knows(self, job_id: str) -> bool:
        """Return whether a job was sent before."""
        with self._lock:
            return job_id in self._jobs or self._find(job_id) is not None

    def add(
        self, job_id: str, request: JobRequest, *, address: str | None = None, expected_boot_id: str | None = None
    ) -> tuple[Job, bool]:
        """Add a job unless its id is known; return the job, which is on disk, and whether it is new.

        Raises JobConflict if the id has another request, DiskFull or Busy if the job cannot be written, Busy if too
        many jobs are waiting, BootChanged if it is unknown here and was sent to another executor, where its code may
        have run.
        """
        with self._lock:
            known = self._jobs.get(job_id) or self._find(job_id)
            if known is not None:
                if known.request != request:
                    raise JobConflict(
                        f"Job {job_id} exists with different code, session, timeout or loop.",
                        "Use a new UUID for new code.",
                    )
                return known, False
            folder = self._folder / job_id
            if job_id in self._unreadable:
                raise JobConflict(f"Job {job_id} is known, but its record cannot be read.", "Use a new UUID.")
            if self._neighbours is not None and self._neighbours.with_job(job_id):
                raise JobConflict(
                    f"Job {job_id} was sent to another executor on this computer, which may be running it.",
                    "Follow it there.",
                )
            if expected_boot_id is not None and expected_boot_id not in self.boots:
                raise BootChanged(
                    f"Job {job_id} is unknown here and was sent to another executor before.",
                    "Its code may have run there. Check what it did, then send it under a new id to run it here.",
                )
            place = self._next_place(request.session)
            try:
                # The folder may exist without a record, after a crash before anything was run.
                folder.mkdir(parents=True, exist_ok=True)
                completed = request.loop["start"] if request.loop else None
                record = Record(job_id, self._boot_id, now(), address=address, completed=completed)
                job = Job(request, record, folder, Spool.create(folder), Reports(folder), self._on_end, place)
                job.save()
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise _recording_error(error, self._folder) from error
            self._jobs[job_id] = self._unfinished[job_id] = job
            return job, True

    def _next_place(self, session: str) -> Place:
        """Return a new job's place in a session's queue. Raises Occupied for too many. Call with the lock held."""
        self._unfinished = {job_id: job for job_id, job in self._unfinished.items() if not job.is_final}
        jobs = [job for job in self._unfinished.values() if job.request.session == session]
        count = sum(job.is_waiting for job in jobs)
        if count >= MAX_WAITING_JOBS:
            raise Occupied(
                f"Session {session} already has {MAX_WAITING_JOBS} waiting jobs; this one was not accepted.",
                "Wait for some to finish, interrupt those that are not needed, or use another session.",
                retryable=False,
            )
        return Place(count + 1, next((job.id for job in jobs if job.has_begun), None))

    def has_unfinished(self) -> bool:
        """Return whether a job is running or waiting."""
        with self._lock:
            return not all(job.is_final for job in self._unfinished.values())

    def get(self, job_id: str) -> Job:
        """Return a job by its id. Raises InvalidArgument if the id is not a UUID, NotFound if it is unknown."""
        canonical = parse_id(job_id)
        job = self._jobs.get(canonical)
        if job is None:
            with self._lock:
                job = self._jobs.get(canonical) or self._find(canonical)
        if job is None:
            raise NotFound(
                f"There is no job {job_id}.", "It was never sent to this executor, or was lost with an earlier machine."
            )
        return job

    def newest(self, state: str | None, session: str | None, limit: int) -> list[Job]:
        """Return up to `limit` jobs, newest first, optionally of one state or session. Raises InvalidArgument."""
        if state is not None and state not in STATES:
            raise InvalidArgument(f"There is no state {state!r}.", f"The states are {', '.join(STATES)}.")
        with self._lock:
            self._adopt(self._neighbours.with_jobs() if self._neighbours else [])
            jobs = list(reversed(self._jobs.values()))
        found = (job for job in jobs if state in (None, job.record.state) and session in (None, job.request.session))
        return list(islice(found, limit))


def _recording_error(error: OSError, folder: Path) -> ExecutorError:
    # EFBIG: a limit on the size of files, sometimes set to keep a disk from filling up.
    if error.errno in (*NO_ROOM, errno.EFBIG):
        return DiskFull(f"The job could not be recorded: {error.strerror}.", "Free space; nothing was run.")
    detail = f"The job could not be recorded in {folder}: {error.strerror}."
    if isinstance(error, (FileExistsError, FileNotFoundError, NotADirectoryError)):
        return Busy(detail, "The folder is recreated within seconds; nothing was run. Send the code again then.")
    return Busy(detail, "Check that the folder can be written to; nothing was run.", retryable=False)


def parse_id(text: str) -> str:
    """Return a job's id in its canonical form. Raises InvalidArgument."""
    return uuid_text(text, "The job's id")


def _read(folder: Path) -> tuple[JobRequest, Record]:
    check_regular(folder / RECORD)
    saved, *later = (folder / RECORD).read_bytes().splitlines()
    asked = json.loads(saved)
    record = Record.parse(asked["record"])
    for line in reversed(later):
        with suppress(ValueError, TypeError, RecursionError):  # truncated: an earlier line or the events say the same
            record = Record.parse(json.loads(line))
            break
    if record.id != folder.name:
        raise ValueError(folder.name)
    return JobRequest.parse(asked["request"]), record


def _read_only(folder: Path) -> Job | None:
    """Return an ended job of a running executor, whose record and events no longer change; else None."""
    try:
        request, record = _read(folder)
        if record.state not in FINAL_STATES or (folder / EVENTS).stat().st_size != record.events_bytes:
            return None
        spool = Spool.recover(folder, record.last_seq, record.events_bytes)
        return Job(request, record, folder, spool, Reports(folder))
    except (*ERRORS, InvalidArgument):
        return None


def _recover(folder: Path, on_end: Callable[[Job], None], unread: Sequence[tuple[str, str]]) -> Job:
    request, record = _read(folder)
    spool = Spool.recover(folder, record.last_seq, record.events_bytes)
    clear_place(folder / REPORTS)
    job = Job(request, record, folder, spool, Reports(folder), on_end)
    if job.is_final and spool.last_seq == record.last_seq:
        job.log_late_output("".join(text for _, text in unread))
        return job
    last = None
    earlier = reported = 0
    for last in job.spool.events():
        if last["type"] == "batch":
            earlier, reported = earlier + reported, 0
        reported += last["type"] == "progress"
        if last["type"] == "started" and record.started_at is None:
            record.started_at, record.kernel_id = last["at"], last["kernel_id"]
    if request.loop is not None:
        record.completed = request.loop["start"] + earlier + reported
    if last is not None and last["type"] == "finished":
        # The job had ended; only its record is out of date.
        record.state, record.reason, record.variables_lost = last["state"], last["reason"], last["variables_lost"]
        record.kernel_exit = last.get("kernel_exit")
        record.finished_at, record.execution_time_sec = last["at"], last["execution_time_sec"]
        record.last_seq, record.events_bytes = spool.last_seq, spool.size
        with suppress(OSError):
            job.reports.remove()
        job.save_end()
        on_end(job)
        job.log_late_output("".join(text for _, text in unread))
        return job
    job.reports = Reports(folder, reported)
    was_running = record.started_at is not None
    ending = Ending("lost", "executor_restarted", variables_lost=was_running)
    if job.is_final:
        # The disk was full when it ended, so its last event is missing.
        ending = Ending(record.state, record.reason, record.variables_lost, record.kernel_exit)
    record.state = "queued"  # the clock that measured its time is lost
    try:
        for name, text in unread:
            job.output("stream", {"name": name, "text": text})
    except OSError as error:
        log.warning("job %s: its last output cannot be written: %s", job.id, error)
    job.finish(ending)
    return job

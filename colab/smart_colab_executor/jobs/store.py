"""All jobs: on disk, and in memory while they run."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from ..core.arguments import uuid_text
from ..core.clock import now
from ..core.disk import NO_ROOM
from ..core.errors import BootChanged, Busy, DiskFull, ExecutorError, InvalidArgument, JobConflict, NotFound, Occupied
from ..core.spoiled import ERRORS
from ..machine.packages import Packages
from .index import Entry, JobIndex, index_of, open_index, remove_index
from .job import FINAL_STATES, RECORD, STATES, Job, Place
from .neighbours import Neighbours, ended
from .recent import Recent
from .record import Record
from .recovery import read_only, recover
from .reports import Reports
from .request import JobRequest
from .spool import Spool

log = logging.getLogger(__name__)

MAX_WAITING_JOBS = 100
MAX_AGE_DAYS = 30
MAX_JOBS = 100_000
MAX_BYTES = 10 * 1024**3
# At a time.
MAX_REMOVED = 5000


class JobStore:
    """All jobs, under `folder`; those that have not ended, and some that were used last, are in memory too."""

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
        self._packages = Packages()
        self._lock = threading.Lock()
        self._index: JobIndex  # from `load` on
        self._unfinished: dict[str, Job] = {}
        # Each job is one object for all who use it at a time.
        self._in_memory: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._recent = Recent()
        # Those that were logged.
        self._unreadable: set[str] = set()

    def load(self, unread: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Open the folder of earlier executors; their unfinished jobs are lost. Raises OSError.

        `unread` is output of their kernels that they had not read: streams and texts by job id.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._index = open_index(index_of(self._folder))
        if self._index.is_complete:
            ids = {*self._index.unfinished(), *unread}
            self._enter(self._read_back((self._folder / job_id for job_id in ids), unread))
            self._forget(ids)
        else:
            self._enter(self._read_back(self._folder.iterdir(), unread))
            self._index.complete()
        with self._lock:
            self._adopt(self._neighbours.with_jobs() if self._neighbours else [])

    def close(self) -> None:
        """Close the index, which is the last use of the store."""
        with self._lock:
            self._index.close()

    def _read_back(self, folders: Iterable[Path], unread: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[Job]:
        for folder in folders:
            try:
                if (folder / RECORD).exists():
                    yield recover(folder, self._ended, unread.get(folder.name, ()))
            except (*ERRORS, InvalidArgument) as error:
                # Not set aside: its code may have run and must not run again under this id.
                if folder.name not in self._unreadable:
                    reason = type(error).__name__
                    log.warning("jobs/%s cannot be read back and is left in place: %s", folder.name, reason)
                self._unreadable.add(folder.name)

    def _enter(self, ended: Iterable[Job]) -> None:
        """Enter jobs of earlier or other executors into the index. Raises OSError."""
        self._index.enter(map(_entry, ended))

    def _forget(self, job_ids: Iterable[str]) -> bool:
        """Take jobs whose folders are gone out of the index; return whether there were any. Raises OSError."""
        readable = (job_id for job_id in job_ids if job_id not in self._unreadable)
        gone = [job_id for job_id in readable if not (self._folder / job_id / RECORD).exists()]
        for job_id in gone:
            self._index.remove(job_id)
        return bool(gone)

    def _ended(self, job: Job) -> None:
        # Called by the kernels' thread, which waits for no lock.
        self._index.note_end(job.id, job.record.state)
        self._unfinished.pop(job.id, None)
        self._on_end(job)

    def _adopt(self, states: Iterable[Path]) -> None:
        """Take over the jobs of the executors that have ended. Call with the lock held."""
        for state in states:
            adopted: list[Job] = []
            try:
                with ended(state) as unread:
                    # They end in their own folder: they stay readable even if the move fails.
                    for job in list(self._read_back((state / "jobs").iterdir(), unread)):
                        adopted += self._moved(job)
                    for folder in list((state / "jobs").iterdir()):
                        if folder.is_dir() and not (folder / RECORD).exists():  # a crash before anything was run
                            folder.rename(self._folder / folder.name)
                    remove_index(index_of(state / "jobs"))
            except BlockingIOError:
                continue  # it is running
            except OSError as error:
                log.warning("jobs in %s stay there: %s", state, error)
            if adopted:
                log.info("took over %d jobs from %s: its executor has ended", len(adopted), state)
                self._enter(adopted)

    def _moved(self, job: Job) -> list[Job]:
        """Move a job to our own folder; return it, or nothing if it cannot be moved."""
        try:
            return [recover(job.folder.rename(self._folder / job.id), self._ended, ())]
        except (*ERRORS, InvalidArgument) as error:
            log.warning("job %s stays in %s: %s", job.id, job.folder, error)
            return []

    def _own(self, job_id: str) -> Job | None:
        """Return one of our own jobs, from memory or disk. Call with the lock held."""
        job = self._unfinished.get(job_id) or self._in_memory.get(job_id)
        if job is None:
            job = next(self._read_back([self._folder / job_id], {}), None)
            if job is not None:
                self._in_memory[job_id] = job
                self._recent.keep(job)
        return job

    def _find(self, job_id: str) -> Job | None:
        """Find a job, our own or a neighbour's: take that over, or read it in place. Call with the lock held."""
        if (job := self._own(job_id)) is not None or self._neighbours is None:
            return job
        if not (holders := self._neighbours.with_job(job_id)):
            return None
        self._adopt(holders)
        if (job := self._own(job_id)) is not None:
            return job
        found = (read_only(state / "jobs" / job_id) for state in self._neighbours.with_job(job_id))
        return next(filter(None, found), None)

    def knows(self, job_id: str) -> bool:
        """Return whether a job was sent before."""
        with self._lock:
            return self._find(job_id) is not None

    def add(
        self, job_id: str, request: JobRequest, *, address: str | None = None, expected_boot_id: str | None = None
    ) -> tuple[Job, bool]:
        """Add a job unless its id is known; return the job, which is on disk, and whether it is new.

        Raises JobConflict if the id has another request, DiskFull or Busy if the job cannot be written, Busy if too
        many jobs are waiting, BootChanged if it is unknown here and was sent to another executor, where its code may
        have run.
        """
        with self._lock:
            known = self._find(job_id)
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
                completed = request.loop["start"] if request.loop else None
                record = Record(job_id, self._boot_id, now(), address=address, completed=completed)
                self._index.add(job_id, request.session, record.created_at)
                # The folder may exist without a record, after a crash before anything was run.
                folder.mkdir(parents=True, exist_ok=True)
                spool, reports = Spool(folder), Reports(folder)
                job = Job(request, record, folder, spool, reports, self._ended, self._packages.changes, place)
                job.save()
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    self._index.remove(job_id)
                raise _recording_error(error, self._folder) from error
            self._in_memory[job_id] = self._unfinished[job_id] = job
            self._recent.keep(job)
            return job, True

    def _next_place(self, session: str) -> Place:
        """Return a new job's place in a session's queue. Raises Occupied for too many. Call with the lock held."""
        jobs = [job for job in list(self._unfinished.values()) if job.request.session == session and not job.is_final]
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
        return not all(job.is_final for job in list(self._unfinished.values()))

    def get(self, job_id: str) -> Job:
        """Return a job by its id. Raises InvalidArgument if the id is not a UUID, NotFound if it is unknown."""
        canonical = parse_id(job_id)
        job = self._unfinished.get(canonical)
        if job is None:
            with self._lock:
                job = self._find(canonical)
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
            # Of those that have just ended, the index may not know.
            found = {job.id: job for job in list(self._unfinished.values())}
            if state is None or state in FINAL_STATES:
                found |= {job.id: job for job in self._indexed(state, session, limit)}
        jobs = [
            job
            for job in found.values()
            if state in (None, job.record.state) and session in (None, job.request.session)
        ]
        jobs.sort(key=lambda job: (job.record.created_at, job.id), reverse=True)
        return jobs[:limit]

    def _indexed(self, state: str | None, session: str | None, limit: int) -> list[Job]:
        """Return jobs from the index; forget those whose folders are gone. Call with the lock held."""
        while True:
            found = {job_id: self._own(job_id) for job_id in self._index.newest(state, session, limit)}
            if not self._forget(job_id for job_id, job in found.items() if job is None):
                return [job for job in found.values() if job is not None]

    def remove_old(self, *, days: float = MAX_AGE_DAYS, max_jobs: int = MAX_JOBS, max_bytes: int = MAX_BYTES) -> None:
        """Remove jobs that ended more than `days` ago, and the oldest beyond a number and a total size. Raises OSError.

        The newest job always stays, as do jobs that have not ended. One call measures and removes a limited number.
        """
        with self._lock:
            ended_ids = self._index.unmeasured(MAX_REMOVED)
        sizes = [(_size(self._folder / job_id), job_id) for job_id in ended_ids]
        with self._lock:
            self._index.measure(sizes)
            count, total = self._index.totals()
            oldest = self._index.oldest(MAX_REMOVED)
        limit = time.time() - days * 86_400
        for job_id, ended_at, size in oldest:
            if ended_at >= limit and count <= max_jobs and total <= max_bytes:
                break
            log.info("jobs/%s is removed: it is too old, or there are too many", job_id)
            shutil.rmtree(self._folder / job_id, ignore_errors=True)
            count, total = count - 1, total - size
            if not (self._folder / job_id).exists():
                with self._lock:
                    self._in_memory.pop(job_id, None)
                    self._index.remove(job_id)


def _entry(job: Job) -> Entry:
    record = job.record
    return Entry(job.id, job.request.session, record.created_at, record.state, (job.folder / RECORD).stat().st_mtime)


def _size(job: Path) -> int:
    size = 0
    for file in job.rglob("*"):
        with suppress(OSError):
            size += file.lstat().st_size
    return size


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

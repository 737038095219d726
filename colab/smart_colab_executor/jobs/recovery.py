"""Jobs of earlier executors, and of others, read back from their folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..core.errors import InvalidArgument
from ..core.spoiled import ERRORS, check_regular, clear_place
from .job import FINAL_STATES, RECORD, Ending, Job
from .record import Record
from .reports import FILE as REPORTS
from .reports import Reports
from .request import JobRequest
from .spool import EVENTS, Spool

log = logging.getLogger(__name__)


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


def read_only(folder: Path) -> Job | None:
    """Return an ended job of a running executor, whose record and events no longer change; else None."""
    try:
        request, record = _read(folder)
        if record.state not in FINAL_STATES or (folder / EVENTS).stat().st_size != record.events_bytes:
            return None
        spool = Spool.recover(folder, record.last_seq, record.events_bytes)
        return Job(request, record, folder, spool, Reports(folder))
    except (*ERRORS, InvalidArgument):
        return None


def recover(folder: Path, on_end: Callable[[Job], None], unread: Sequence[tuple[str, str]]) -> Job:
    """Return a job that no executor runs: what had not ended is lost. Raises one of ERRORS, or InvalidArgument.

    `unread` is output of its kernel, as streams and texts.
    """
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

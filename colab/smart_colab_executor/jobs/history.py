"""The history of the state folder: earlier starts of executors, and removal of old jobs."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from pathlib import Path

from ..core.disk import write_atomically
from ..core.spoiled import set_aside

log = logging.getLogger(__name__)

MAX_BOOTS = 1000
MAX_AGE_DAYS = 30
MAX_JOBS = 5000
MAX_BYTES = 10 * 1024**3


def note_boot(state: Path, boot_id: str) -> frozenset[str]:
    """Record this start; return its id and the earlier ones. Raises OSError.

    A job sent to any of these starts was sent to this folder: if it is not here it was never accepted, so it never ran.
    """
    path = state / "boots"
    try:
        earlier = path.read_text("utf-8").split() if path.exists() else []
    except (OSError, ValueError) as error:
        set_aside(path, error)
        earlier = []
    boots = [*earlier[1 - MAX_BOOTS :], boot_id]
    write_atomically(path, "\n".join(boots).encode())
    return frozenset(boots)


def remove_old_jobs(
    folder: Path, *, days: float = MAX_AGE_DAYS, max_jobs: int = MAX_JOBS, max_bytes: int = MAX_BYTES
) -> None:
    """Remove jobs last written to more than `days` ago, and the oldest beyond a number and a total size.

    The newest job always stays. So do jobs that cannot be removed.
    """
    jobs = sorted(_jobs(folder), reverse=True)
    oldest, total = time.time() - days * 86_400, 0
    for count, (changed, job) in enumerate(jobs):
        total += _size(job)
        if count and (changed < oldest or count >= max_jobs or total > max_bytes):
            log.info("jobs/%s is removed: it is too old, or there are too many", job.name)
            shutil.rmtree(job, ignore_errors=True)


def _size(job: Path) -> int:
    size = 0
    for file in job.rglob("*"):
        with suppress(OSError):
            size += file.lstat().st_size
    return size


def _jobs(folder: Path) -> list[tuple[float, Path]]:
    if not folder.is_dir():
        return []
    found = []
    for record in folder.glob("*/job.json"):
        with suppress(OSError):
            found.append((record.stat().st_mtime, record.parent))
    return found

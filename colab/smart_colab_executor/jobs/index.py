"""An index of the jobs on disk, so that neither a start nor a list reads them all.

A job is entered before it is on disk, and its end later, together with others. After a kill, therefore, the index names
every job, and some that have ended as unfinished.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..core.disk import NO_ROOM
from ..core.spoiled import set_aside

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    created_at TEXT NOT NULL,
    state TEXT,                -- null until the job has ended
    changed_at REAL NOT NULL,  -- when it was created or ended, in seconds since 1970
    bytes INTEGER              -- on disk; null until it was measured after the end
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_creation ON jobs (created_at, id);
CREATE INDEX IF NOT EXISTS unfinished ON jobs (created_at, id) WHERE state IS NULL;
CREATE INDEX IF NOT EXISTS by_change ON jobs (changed_at) WHERE state IS NOT NULL;
CREATE INDEX IF NOT EXISTS unmeasured ON jobs (changed_at) WHERE state IS NOT NULL AND bytes IS NULL;
"""
# A kill loses nothing. A power cut may lose the last entries, but damages nothing.
SETTINGS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL")

# With so many ends to write, the next job writes them.
MAX_NOTED_ENDS = 32


class Entry(NamedTuple):
    """An ended job."""

    id: str
    session: str
    created_at: str
    state: str
    ended_at: float  # in seconds since 1970


class JobIndex:
    """The index in a file. Methods raise OSError; only `note_end` may be called by several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open the index, or create it."""
        self._ends: deque[tuple[str, float, str]] = deque()
        with _os_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                for setting in SETTINGS:
                    self._db.execute(f"PRAGMA {setting}")
                self._db.executescript(SCHEMA)
            except sqlite3.Error:
                self._db.close()  # Windows moves no open file aside
                raise

    def close(self) -> None:
        """Close the file, with all ends noted."""
        with _os_errors():
            self._note_ends()
            self._db.close()

    @property
    def is_complete(self) -> bool:
        """Whether `complete` was called, by this executor or an earlier one."""
        with _os_errors():
            return bool(self._db.execute("PRAGMA user_version").fetchone() == (1,))

    def enter(self, ended: Iterable[Entry]) -> None:
        """Enter ended jobs, all of them or none."""
        with _os_errors(), self._changing():
            self._db.executemany("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, NULL)", ended)

    def complete(self) -> None:
        """Note that the jobs were entered that were there before the index."""
        with _os_errors():
            self._db.execute("PRAGMA user_version = 1")

    def add(self, job_id: str, session: str, created_at: str) -> None:
        """Add a job that has not ended."""
        row = (job_id, session, created_at, time.time())
        with _os_errors():
            self._db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, NULL, ?, NULL)", row)
            if len(self._ends) >= MAX_NOTED_ENDS:
                self._note_ends()

    def note_end(self, job_id: str, state: str) -> None:
        """Note that a job has ended; written before the next question, or with later ends."""
        self._ends.append((state, time.time(), job_id))

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        with _os_errors(), self._changing():
            self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def unfinished(self) -> list[str]:
        """Return the ids of the jobs whose end is unknown, oldest first."""
        with _os_errors():
            rows = self._db.execute("SELECT id FROM jobs WHERE state IS NULL ORDER BY created_at, id")
            return [job_id for (job_id,) in rows]

    def newest(self, state: str | None, session: str | None, limit: int) -> list[str]:
        """Return the ids of up to `limit` jobs, newest first, optionally of one final state or session."""
        with _os_errors():
            self._note_ends()
            rows = self._db.execute(
                "SELECT id FROM jobs WHERE ifnull(state = :state, :state IS NULL)"
                " AND ifnull(session = :session, :session IS NULL) ORDER BY created_at DESC, id DESC LIMIT :limit",
                {"state": state, "session": session, "limit": limit},
            )
            return [job_id for (job_id,) in rows]

    def unmeasured(self, limit: int) -> list[str]:
        """Return the ids of some ended jobs without a size."""
        with _os_errors():
            self._note_ends()
            rows = self._db.execute("SELECT id FROM jobs WHERE state IS NOT NULL AND bytes IS NULL LIMIT ?", (limit,))
            return [job_id for (job_id,) in rows]

    def measure(self, sizes: Iterable[tuple[int, str]]) -> None:
        """Enter sizes of ended jobs, in bytes."""
        with _os_errors(), self._changing():
            self._db.executemany("UPDATE jobs SET bytes = ? WHERE id = ?", sizes)

    def totals(self) -> tuple[int, int]:
        """Return the number of jobs, and their known size in bytes."""
        with _os_errors():
            count, size = self._db.execute("SELECT count(*), total(bytes) FROM jobs").fetchone()
            return count, int(size)

    def oldest(self, limit: int) -> list[tuple[str, float, int]]:
        """Return ids, ends and sizes of up to `limit` ended jobs, those that ended first; never the newest job."""
        with _os_errors():
            rows = self._db.execute(
                "SELECT id, changed_at, ifnull(bytes, 0) FROM jobs"
                " WHERE state IS NOT NULL AND id != (SELECT id FROM jobs ORDER BY created_at DESC, id DESC LIMIT 1)"
                " ORDER BY changed_at LIMIT ?",
                (limit,),
            )
            return rows.fetchall()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Make a change in one transaction with the ends noted before."""
        with self._db:
            self._db.execute("BEGIN")
            ends = [self._ends.popleft() for _ in range(len(self._ends))]
            try:
                self._db.executemany("UPDATE jobs SET state = ?, changed_at = ? WHERE id = ?", ends)
                yield
            except BaseException:
                self._ends.extendleft(reversed(ends))
                raise

    def _note_ends(self) -> None:
        if self._ends:
            with self._changing():
                pass


def index_of(jobs: Path) -> Path:
    """Return where the index of the jobs in a folder is."""
    return jobs.with_suffix(".db")


def open_index(path: Path) -> JobIndex:
    """Open the index. One that is damaged is made again. Raises OSError."""
    try:
        return JobIndex(path)
    except OSError as error:
        if error.errno in NO_ROOM or not path.exists():
            raise
        set_aside(path, error)
        remove_index(path)
        return JobIndex(path)


def remove_index(path: Path) -> None:
    """Remove an index that is not open. Raises OSError."""
    for name in (path.name, f"{path.name}-wal"):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Raise OSError for SQLite's errors."""
    try:
        yield
    except sqlite3.Error as error:
        # The second, not the first, is what a quota or a limit on the size of files causes.
        is_full = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
        raise OSError(errno.ENOSPC if is_full else errno.EIO, f"the index of jobs: {error}") from error

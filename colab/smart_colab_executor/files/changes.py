"""The changes of folders, each folder's as a log that is read with a cursor.

A change enters the log once its file has come to rest: two looks, at least SETTLE_SEC apart, found it the same. Looks
are taken only while a request reads.
"""

from __future__ import annotations

import os
import stat
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ..core.errors import InvalidArgument
from ..wire.files import FileChanges
from ..wire.state import JobState
from .content_root import ContentRoot, show
from .files import Files, visit
from .partials import is_partial

SETTLE_SEC = 1.0
# A log that is written all the time never rests: a small one is taken as it is once in a while.
MAX_RESTLESS_SEC = 60.0
MAX_RESTLESS_BYTES = 16 * 1024 * 1024
# Looks take at most this part of the time: folders may be large, and file systems slow.
MAX_LOOKING = 1 / 20
MAX_FILES = 50_000
MAX_LOGS = 16

# Times of the content and of the entry, size, inode: who sets back a file's time changes the entry.
Version = tuple[int, int, int, int]


class Changes:
    """The logs of the folders that were read last. Thread-safe."""

    def __init__(self, root: ContentRoot, files: Files, stop: threading.Event) -> None:
        self._root = root
        self._files = files
        self._stop = stop
        self._lock = threading.Lock()
        self._logs: OrderedDict[Path, _Log] = OrderedDict()

    def read(
        self, path: str, after: str | None, limit: int, wait_sec: float, job_state: Callable[[], JobState | None]
    ) -> FileChanges:
        """Wait for changes after the cursor, up to `wait_sec`, or until the job has ended: then all files rest."""
        log = self._log(self._root.locate(path))
        until = monotonic() + wait_sec
        while True:
            state = job_state()
            has_ended = state not in (None, "queued", "running")
            pause = log.look(rested=has_ended)
            since = log.number_of(after)
            due = log.due(since or 0, limit + 1)
            left = until - monotonic()
            if due or has_ended or left <= 0 or self._stop.wait(min(pause, left)):
                break
        shown = due[:limit]
        utf8 = [name for _, name in shown if show(name) == name]
        entries = [self._files.entry(log.folder, name, recursive=True) for name in utf8]
        return {
            "path": show(log.folder),
            "exists": log.exists,
            "total": log.total,
            "entries": [entry for entry in entries if entry],
            "not_utf8": [_escaped(name) for _, name in shown if show(name) != name],
            "is_whole": since is None,
            "next": log.cursor(shown[-1][0] if shown else since or 0),
            "more": len(due) > limit,
            "job_state": state,
        }

    def _log(self, folder: Path) -> _Log:
        with self._lock:
            log = self._logs.pop(folder, None) or _Log(folder, self._root)
            self._logs[folder] = log
            if len(self._logs) > MAX_LOGS:
                self._logs.popitem(last=False)
            return log


@dataclass
class _Seen:
    """A file as the last look found it."""

    version: Version
    since: float
    unnoted_since: float
    noted: Version | None = None
    number: int = 0

    def rests(self, at: float) -> bool:
        is_small = self.version[2] <= MAX_RESTLESS_BYTES
        return at - self.since >= SETTLE_SEC or (is_small and at - self.unnoted_since >= MAX_RESTLESS_SEC)


class _Log:
    """The changes of one folder, numbered in the order in which they were noted."""

    def __init__(self, folder: Path, root: ContentRoot) -> None:
        self.folder = folder
        self.exists = False
        self._root = root
        self._id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._last = 0

    @property
    def total(self) -> int:
        return len(self._seen)

    def look(self, *, rested: bool) -> float:
        """Note changes of files that rest, or of all; return the seconds to the next look. Raises InvalidArgument."""
        with self._lock:
            at = monotonic()
            seen: dict[str, _Seen] = {}
            self.exists = self.folder.exists()
            if not self.exists:
                return SETTLE_SEC
            if not self.folder.is_dir():
                raise InvalidArgument(f"{show(self.folder)} is a file, not a folder.", "Name the folder that holds it.")
            for name, version in self._files():
                file = self._seen.get(name) or _Seen(version, at, at)
                if file.version != version:
                    if file.version == file.noted:
                        file.unnoted_since = at
                    file.version, file.since = version, at
                if version != file.noted and (rested or file.rests(at)):
                    self._last += 1
                    file.noted, file.number, file.unnoted_since = version, self._last, at
                seen[name] = file
                if len(seen) > MAX_FILES:
                    raise InvalidArgument(
                        f"{show(self.folder)} holds more than {MAX_FILES:,} files.",
                        "Name a folder below it, with fewer.",
                    )
            self._seen = seen
            return max(SETTLE_SEC, (monotonic() - at) / MAX_LOOKING)

    def due(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Return the numbers and names of the first changes after a number."""
        with self._lock:
            found = ((file.number, name) for name, file in self._seen.items() if file.number > after)
            return sorted(found)[:limit]

    def cursor(self, number: int) -> str:
        return f"{self._id}.{number}"

    def number_of(self, cursor: str | None) -> int | None:
        """Return the number in a cursor; None if the cursor is not of this log."""
        own, _, number = (cursor or "").partition(".")
        return int(number) if own == self._id and number.isdecimal() and len(number) <= 18 else None

    def _files(self) -> Iterator[tuple[str, Version]]:
        for folder, folders, files in visit(self.folder, self._root.state_below(self.folder)):
            here = os.path.relpath(folder, self.folder)
            for last in (*files, *folders):
                name = last if here == "." else os.path.join(here, last)  # noqa: PTH118
                status = None if is_partial(last) else self._status(self.folder / name)
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    version = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
                    yield name.replace(os.sep, "/"), version

    def _status(self, file: Path) -> os.stat_result | None:
        """Return the status of a file, or of the file inside the root that a link leads to; None if it has vanished."""
        try:
            status = file.lstat()
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode) and self._root.is_inside(file) and file.is_file():
            with suppress(OSError):
                return file.stat()
        return status


def _escaped(name: str) -> str:
    """Return a name with escapes for the bytes that are not UTF-8, so that no two names look the same."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

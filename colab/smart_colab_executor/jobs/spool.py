"""A job's output on disk: `events.jsonl`, `log.txt` and `blobs/`.

Events are on disk before they can be read and are read back from the file, so memory holds only a sparse index, a
cursor (`seq`) stays valid across restarts, and nothing is lost however slow a reader is. One writer, many readers.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import threading
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ..core.clock import now
from ..core.disk import write_atomically, write_whole
from ..core.spoiled import SUFFIX, clear_place
from ..in_kernel.jsonline import dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO

log = logging.getLogger(__name__)

EVENTS = "events.jsonl"
INDEX_INTERVAL_BYTES = 256 * 1024
# Valid in a header and, quoted, in a file's name.
MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]+")
MAX_MEDIA_TYPE_BYTES = 200


class Spool:
    """The output of one job in `folder`. Appends come from one thread; reads from any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events_path = folder / EVENTS
        self._lock = threading.Lock()
        self._index_seqs = [1]
        self._index_offsets = [0]
        self._events: FileIO | None = None
        self._log: FileIO | None = None
        self._is_sealed = False
        # The last events, if the disk was full.
        self._unwritten: list[bytes] = []
        self._fresh_line = True
        self.last_seq = 0
        self.size = 0
        self.log_bytes = 0
        self.blob_count = 0

    @classmethod
    def recover(cls, folder: Path, last_seq: int = 0, size: int = 0) -> Spool:
        """Open the spool of an earlier executor; an event truncated by a crash is dropped. Raises OSError.

        A finished job's `last_seq` and `size` save a scan of all events if they still match the file.
        """
        spool = cls(folder)
        for path in (spool._events_path, spool._log_path):
            clear_place(path)
        spool._events_path.touch()  # a job that has not begun has none
        if last_seq and spool._events_path.stat().st_size == size:
            spool.last_seq, spool.size = last_seq, size
        else:
            spool._scan()
        with suppress(FileNotFoundError):  # the job has shown nothing
            spool.log_bytes = spool._log_path.stat().st_size
        if spool._blobs.is_dir():
            spool.blob_count = sum(1 for _ in spool._blobs.iterdir())
        return spool

    def _scan(self) -> None:
        with self._events_path.open("rb") as lines:
            for line in lines:
                if not _is_event(line, self.last_seq + 1):
                    if line.endswith(b"\n"):  # not truncated by a crash: keep what follows, too
                        aside = self._events_path.with_name(self._events_path.name + SUFFIX)
                        shutil.copyfile(self._events_path, aside)
                        log.warning("%s has a malformed event; a copy is kept as %s", self._events_path.name, aside)
                    break
                self._note(len(line))
        if self._events_path.stat().st_size > self.size:
            os.truncate(self._events_path, self.size)

    # Most jobs have neither.
    @property
    def _log_path(self) -> Path:
        return self._folder / "log.txt"

    @property
    def _blobs(self) -> Path:
        return self._folder / "blobs"

    def append(self, event: dict[str, Any]) -> None:
        """Append an event. Raises OSError (a full disk), and then leaves the file unchanged."""
        self._append([dump({"seq": self.last_seq + 1, "at": now(), **event}) + b"\n"])

    def append_all(self, kind: str, contents: Sequence[bytes]) -> None:
        """Append events of one type, each given as a JSON object; all of them or none. Raises OSError."""
        start = b'"at":"%b","type":"%b",' % (now().encode(), kind.encode())
        self._append(
            [
                b'{"seq":%d,%b%b\n' % (seq, start, content.strip()[1:])
                for seq, content in enumerate(contents, self.last_seq + 1)
            ]
        )

    def seal(self) -> None:
        """Expect only the last events from now on; keep them in memory if the disk is full."""
        self._is_sealed = True

    def _append(self, lines: list[bytes]) -> None:
        try:
            self._write(b"".join(lines))
        except OSError:
            if not self._is_sealed:
                raise
            with self._lock:
                self._unwritten += [line[:-1] for line in lines]
                self.last_seq += len(lines)
        else:
            for line in lines:
                self._note(len(line))

    def _write(self, content: bytes) -> None:
        if self._unwritten:
            raise OSError(errno.ENOSPC, "earlier events could not be written")
        if self._events is None:
            self._events = _open(self._events_path)
        write_whole(self._events, content, self.size)

    @property
    def is_whole(self) -> bool:
        """Whether all events are on disk."""
        return not self._unwritten

    def log(self, text: str, *, own_line: bool = False) -> int:
        """Append to the log; return where the text begins. Raises OSError.

        With `own_line` it starts and ends a line.
        """
        begin = self.log_bytes
        if own_line:
            begin += not self._fresh_line
            text = ("" if self._fresh_line else "\n") + text + ("" if text.endswith("\n") else "\n")
        if not text:
            return begin
        content = text.encode("utf-8", "replace")
        if self._log is None:
            if not self._is_sealed:  # an ended job's folder stays removed
                self._folder.mkdir(parents=True, exist_ok=True)
            self._log = _open(self._log_path)
        write_whole(self._log, content, self.log_bytes)
        self.log_bytes += len(content)
        self._fresh_line = text.endswith("\n")
        return begin

    def log_file(self) -> Path:
        """Return the file that `log` appends to, empty for a job that has shown nothing. Raises OSError."""
        if not self.log_bytes:
            self._log_path.touch()
        return self._log_path

    def keep_blob(self, content_type: str, content: bytes) -> dict[str, int]:
        """Store bytes beside the events; return the reference to put into an event. Raises OSError."""
        number = self.blob_count + 1
        path = self._blobs / f"{number}.{_quoted(content_type)}"
        try:
            _write(path, content)
        except FileNotFoundError:  # the folder was removed meanwhile
            _write(path, content)
        self.blob_count = number
        return {"blob": number, "bytes": len(content)}

    def blob(self, number: int) -> tuple[Path, str] | None:
        """Return the file and the content type of a blob, or None."""
        for path in self._blobs.glob(f"{number}.*"):
            if not path.name.endswith(".partial"):
                return path, unquote(_quoted(unquote(path.name.partition(".")[2])))
        return None

    def read(self, after: int, max_bytes: int) -> list[bytes]:
        """Return the events after `after` as lines of JSON: at most `max_bytes`, but at least one event."""
        with self._lock:
            last, size, unwritten = self.last_seq, self.size, list(self._unwritten)
            place = bisect_right(self._index_seqs, after + 1) - 1
            seq, offset = self._index_seqs[place], self._index_offsets[place]
        found: list[bytes] = []
        total = 0
        if after >= last:
            return found
        with self._events_path.open("rb") as lines:
            lines.seek(offset)
            while offset < size:
                self._index(seq, offset)
                line = lines.readline()
                if not line:
                    break  # the file was truncated
                offset += len(line)
                if seq > after:
                    if found and total + len(line) > max_bytes:
                        return found
                    found.append(line[:-1])
                    total += len(line)
                seq += 1
        for seq, line in enumerate(unwritten, last - len(unwritten) + 1):
            if seq > after:
                if found and total + len(line) > max_bytes:
                    break
                found.append(line)
                total += len(line)
        return found

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield all events after `after`, parsed, one at a time."""
        while lines := self.read(after, INDEX_INTERVAL_BYTES):
            after += len(lines)
            yield from map(json.loads, lines)

    def bytes_after(self, after: int) -> int:
        """Return about how many bytes of events follow `after`."""
        with self._lock:
            place = bisect_right(self._index_seqs, after + 1) - 1
            return self.size - self._index_offsets[place]

    def restore(self) -> None:
        """Restore removed files from those that are still open. Raises OSError."""
        if not self._events_path.exists():
            self._events = _restore_file(self._events, self._events_path)
        if self._log is not None and not self._log_path.exists():
            self._log = _restore_file(self._log, self._log_path)

    def close(self) -> None:
        """Close the files opened for writing; reading stays possible."""
        for file in (self._events, self._log):
            if file is not None:
                file.close()
        self._events = self._log = None

    def _note(self, length: int) -> None:
        self._index(self.last_seq + 1, self.size)
        with self._lock:
            self.last_seq += 1
            self.size += length

    def _index(self, seq: int, offset: int) -> None:
        """Index an event's offset if it is far enough from the last one indexed."""
        if offset - self._index_offsets[-1] >= INDEX_INTERVAL_BYTES:
            with self._lock:
                if offset > self._index_offsets[-1]:
                    self._index_seqs.append(seq)
                    self._index_offsets.append(offset)


def _quoted(content_type: str) -> str:
    """Return the type quoted for a file's name; a generic one replaces an invalid type, as code may name any."""
    if MEDIA_TYPE.fullmatch(content_type) and len(found := quote(content_type, safe="")) <= MAX_MEDIA_TYPE_BYTES:
        return found
    return quote("text/plain" if content_type.startswith("text/") else "application/octet-stream", safe="")


def _is_event(line: bytes, seq: int) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("seq") == seq


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _open(path: Path) -> FileIO:
    """Open a file for appending, and for `_restore_file` to read."""
    return path.open("a+b", buffering=0)


def _restore_file(file: FileIO | None, path: Path) -> FileIO:
    """Recreate a removed file from the one still open, and return it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    again = _open(partial)
    if file is not None:
        file.seek(0)
        shutil.copyfileobj(file, again)
        file.close()
    partial.replace(path)
    return again

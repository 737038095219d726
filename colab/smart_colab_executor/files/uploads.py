"""Uploads: files that come in pieces, in any order, and are checked before they get their name.

What is here is noted in the state folder after it was written, so an upload outlives the executor. Nothing about one
is kept in memory: path, size and digest name it, its note and its partial file are all there is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal

from ..core.errors import Damaged, DiskFull, Incomplete, InvalidArgument, NotFound
from ..core.spoiled import ERRORS, read_object, set_aside
from ..wire.files import Upload as FileUpload
from .content_root import ContentRoot, show
from .digests import Digests, etag_of
from .os_errors import is_a_folder, translate_write_errors
from .partials import goal_at, is_executable, make_executable, note_partials, partial_of, settle

BLOCK = 256 * 1024
ZEROS = bytes(BLOCK)
# So many uploads are written to at once; one of them takes its pieces in turn.
LOCKS = 64
# Each may wait for a digest, and a call must end.
TRIES = 2

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Upload:
    """Identify an upload."""

    shown: str
    """The path as replies spell it."""
    goal: Path
    size: int
    sha256: str

    @property
    def key(self) -> str:
        """32 hexadecimal digits."""
        name = b"%b\0%d\0%b" % (os.fsencode(self.goal), self.size, self.sha256.encode())
        return hashlib.sha256(name).hexdigest()[:32]

    @property
    def partial(self) -> Path:
        """Where the pieces lie."""
        return partial_of(self.goal, self.key)

    def is_whole(self, received: Ranges) -> bool:
        """Whether all pieces are here."""
        return received == ([(0, self.size)] if self.size else [])

    def describe(self, state: Literal["open", "checking", "complete"], received: Ranges) -> FileUpload:
        """As in the API."""
        return {
            "path": self.shown,
            "size": self.size,
            "sha256": self.sha256,
            "state": state,
            "received": received,
            "executable": self._is_executable() if state == "complete" else None,
        }

    def _is_executable(self) -> bool | None:
        try:
            return is_executable(self.goal.stat())
        except OSError:
            return None


class Uploads:
    """The uploads into `root`, with a note for each in `notes`. May be asked by many threads."""

    def __init__(self, root: ContentRoot, notes: Path, digests: Digests) -> None:
        self._root = root
        self._notes = notes
        self._digests = digests
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def find(self, path: str, size: int, sha256: str) -> Upload:
        """Raises IsADirectory, InvalidArgument, OutsideRoot."""
        file, goal = goal_at(self._root, path)
        return Upload(show(file), goal, size, sha256)

    def look(self, upload: Upload) -> FileUpload:
        """Say how far it has come; waits some seconds for the digest of what is at its goal.

        Raises DiskFull where the rest does not fit: on a full disk no piece may come as far as to `add`.
        """
        with self._lock(upload):
            received = self._received(upload)
        found = self._look(upload, received)
        if found["state"] == "open":
            with translate_write_errors(upload.goal):
                _check_room(upload, received)
        return found

    def add(self, upload: Upload, offset: int, length: int, body: BinaryIO) -> FileUpload:
        """Write a piece. Raises DiskFull, IsADirectory, InvalidArgument."""
        stop = offset + length
        if stop > upload.size:
            raise InvalidArgument(
                f"The piece ends at {stop}, behind the {upload.size} bytes of the file.", "Send pieces of the file."
            )
        with self._lock(upload), translate_write_errors(upload.goal):
            # Asked here, for it may have been finished while this piece waited.
            if self._is_there(upload):
                return upload.describe("complete", _whole(upload))
            received = self._received(upload)
            # One that is here already is left alone: its digest may be in the making.
            if length and not any(start <= offset and stop <= end for start, end in received):
                self._make_folder(upload)
                if not received:
                    _check_room(upload, received)
                    self._note(upload, received)  # so that a partial file without a note is never left behind
                _write(upload.partial, offset, length, body)
                received = merged([*received, (offset, stop)])
                self._note(upload, received)
        return upload.describe("open", received)

    def finish(self, upload: Upload, modified_ns: int | None, executable: bool = False) -> FileUpload:
        """Check the whole and give it its name. Raises Damaged, DiskFull, Incomplete, InvalidArgument, IsADirectory."""
        for _ in range(TRIES):
            found = self._try_to_finish(upload, modified_ns, executable)
            if found is not None and executable and found["executable"] is False:
                make_executable(upload.goal)  # it was there before
                return upload.describe("complete", _whole(upload))
            if found is not None:
                return found
        return upload.describe("checking", _whole(upload))

    def _try_to_finish(self, upload: Upload, modified_ns: int | None, executable: bool) -> FileUpload | None:
        """None where the partial file is no longer the one that was checked."""
        if self._is_there(upload):
            return upload.describe("complete", _whole(upload))
        with self._lock(upload), translate_write_errors(upload.goal):
            received = self._received(upload)
            if upload.size == 0:
                self._make_folder(upload)
                self._note(upload, received)
                upload.partial.touch()
            etag = _etag(upload.partial) if upload.is_whole(received) else None
        if etag is None:
            return self._finished_before(upload, received)
        try:
            digest = self._digests.get(upload.partial, etag)
        except NotFound:
            return None
        if digest is None:
            return upload.describe("checking", received)
        with self._lock(upload), translate_write_errors(upload.goal):
            is_ours = _etag(upload.partial) == etag
            if digest != upload.sha256:
                if is_ours:
                    upload.partial.unlink()
                    self._note_path(upload).unlink(missing_ok=True)
                raise Damaged(
                    f"What came for {upload.shown} does not have the SHA-256 that was named, and was thrown away.",
                    "Send it again. If it happens again, the file changed while it was read.",
                )
            if is_ours:
                self._settle(upload, modified_ns, executable)
                return upload.describe("complete", received)
        return None  # another request was faster

    def _settle(self, upload: Upload, modified_ns: int | None, executable: bool) -> None:
        settle(upload.partial, upload.goal, modified_ns, executable)
        self._note_path(upload).unlink(missing_ok=True)
        etag = _etag(upload.goal)
        if etag is not None:
            self._digests.note(upload.goal, etag, upload.sha256)

    def _finished_before(self, upload: Upload, received: Ranges) -> FileUpload:
        found = self._look(upload, received)
        if found["state"] == "open":
            raise Incomplete(
                f"{upload.shown} lacks {upload.size - _amount(received)} of its {upload.size} bytes.",
                "GET /files/upload says which bytes are here; send the others, then finish it.",
            )
        return found

    def _look(self, upload: Upload, received: Ranges) -> FileUpload:
        etag = self._etag_there(upload)
        if etag is not None:
            digest = self._digests.get(upload.goal, etag)
            if digest is None:
                return upload.describe("checking", received)
            if digest == upload.sha256:
                return upload.describe("complete", _whole(upload))
        return upload.describe("open", received)

    def _is_there(self, upload: Upload) -> bool:
        """Whether the goal is known to have these bytes; no digest is made for it."""
        etag = self._etag_there(upload)
        return etag is not None and self._digests.known(upload.goal, etag) == upload.sha256

    def _etag_there(self, upload: Upload) -> str | None:
        """The ETag of the file at the goal, when it has the size."""
        try:
            status = upload.goal.stat()
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise is_a_folder(upload.goal)
        return etag_of(status) if stat.S_ISREG(status.st_mode) and status.st_size == upload.size else None

    def _make_folder(self, upload: Upload) -> None:
        upload.goal.parent.mkdir(parents=True, exist_ok=True)
        self._root.check(upload.goal)
        with suppress(FileNotFoundError):
            upload.goal.lstat()  # a name that cannot be is refused now, not after the last piece

    def _lock(self, upload: Upload) -> threading.Lock:
        return self._locks[int(upload.key[:8], 16) % LOCKS]

    def _note_path(self, upload: Upload) -> Path:
        return self._notes / f"{upload.key}.json"

    def _received(self, upload: Upload) -> Ranges:
        """Which bytes are here, by the note; none where the partial file is gone."""
        path = self._note_path(upload)
        try:
            note = read_object(path)
            received = [(int(start), int(stop)) for start, stop in note["received"]]
        except FileNotFoundError:
            return []
        except ERRORS as error:
            set_aside(path, error)
            return []
        return received if upload.partial.is_file() else []

    def _note(self, upload: Upload, received: Ranges) -> None:
        note_partials(self._note_path(upload), [upload.partial], received=received)


def merged(ranges: Ranges) -> Ranges:
    """The same bytes in order, without overlaps or neighbours."""
    found: Ranges = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def _amount(ranges: Ranges) -> int:
    return sum(stop - start for start, stop in ranges)


def _whole(upload: Upload) -> Ranges:
    return [(0, upload.size)] if upload.size else []


def _etag(file: Path) -> str | None:
    try:
        return etag_of(file.stat())
    except OSError:
        return None


def _check_room(upload: Upload, received: Ranges) -> None:
    """Raises DiskFull where what is missing does not fit."""
    missing = upload.size - _amount(received)
    disk = shutil.disk_usage(next(folder for folder in upload.goal.parents if folder.is_dir()))
    if disk.total and disk.free < missing:  # some mounted drives do not say
        raise DiskFull(
            f"{upload.shown} needs {missing} more bytes, and the disk has {disk.free} free.",
            "Remove files that are not needed, or send it to another disk; what is here already is kept.",
        )


def _write(partial: Path, offset: int, length: int, body: BinaryIO) -> None:
    """Write a piece. Raises OSError, and then leaves the file no longer than it was: a full disk needs the room."""
    with open(os.open(partial, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b", 0) as file:  # noqa: PTH123
        end = file.seek(0, os.SEEK_END)
        file.seek(offset)
        try:
            _copy(body, file, length)
            if file.seek(0, os.SEEK_END) < offset + length:
                file.truncate(offset + length)
        except BaseException:
            file.truncate(end)
            raise


def _copy(body: BinaryIO, file: FileIO, length: int) -> None:
    while length:
        block = body.read(min(BLOCK, length))
        if not block:
            raise InvalidArgument("The piece ended before its length.", "Send it again.")
        length -= len(block)
        if ZEROS.startswith(block) and _skip_zeros(file, len(block)):
            continue
        while block:
            block = block[file.write(block) :]


def _skip_zeros(file: FileIO, length: int) -> bool:
    """Pass over as many bytes where nothing but zeros are, or nothing yet: a hole takes no room on the disk."""
    start = file.tell()
    is_empty = ZEROS.startswith(file.read(length))
    file.seek(start + length if is_empty else start)
    return is_empty

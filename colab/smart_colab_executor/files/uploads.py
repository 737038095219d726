"""Uploads: files received in pieces, in any order, and verified before they get their name.

Received ranges are recorded in the state folder once written, so an upload outlives the executor. No state is kept in
memory but the digest of the bytes so far, which is computed beside the transfer, and can be computed again. Path, size
and a name for the bytes identify an upload; its record and its partial file hold the rest.
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
from typing import BinaryIO

from ..core.errors import Damaged, DiskFull, FileChanged, Incomplete, InvalidArgument, NotFound
from ..core.spoiled import ERRORS, read_object, set_aside
from ..wire.files import Upload as FileUpload
from ..wire.files import UploadState
from .content_root import ContentRoot, show
from .digests import FASTEST, Digest, Digests, Prefix, etag_of
from .os_errors import folder_error, translate_write_errors
from .partials import goal_at, is_executable, make_executable, note_partials, partial_of, rename_into_place

BLOCK = 256 * 1024
ZEROS = bytes(BLOCK)
# Uploads written to at once; the pieces of one upload are written in turn.
LOCKS = 64
# Uploads whose digest is computed while they arrive.
MAX_FRONTS = 64
# Bytes hashed for each byte that arrived: a resumed upload catches up, and no piece waits for long.
CATCH_UP = 2
# Beside the digests of a file, so that a piece that comes late is known to be of a complete upload.
NAME = "name"
# The ETag of a file that is not there.
ABSENT = "absent"
# Each may wait for a digest, and the request must return in time.
TRIES = 2

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Upload:
    """Identifies an upload."""

    shown: str
    """The path as replies spell it."""
    goal: Path
    size: int
    name: str
    """Of the bytes: their SHA-256, or 64 hexadecimal digits that the sender chose."""
    digest: Digest | None
    """Of the bytes; None while the sender does not know it."""

    @property
    def key(self) -> str:
        """32 hexadecimal digits."""
        name = b"%b\0%d\0%b" % (os.fsencode(self.goal), self.size, self.name.encode())
        return hashlib.sha256(name).hexdigest()[:32]

    @property
    def partial(self) -> Path:
        """The partial file that holds the pieces."""
        return partial_of(self.goal, self.key)

    def describe(self, state: UploadState, received: Ranges) -> FileUpload:
        """Describe the upload as the API shows it."""
        return {
            "path": self.shown,
            "size": self.size,
            "sha256": self.digest.value if self.digest and self.digest.algorithm == "sha256" else None,
            "state": state,
            "received": received,
            "executable": self._is_executable() if state == "complete" else None,
        }

    def _is_executable(self) -> bool | None:
        with suppress(OSError):
            return is_executable(self.goal.stat())
        return None


class _Front:
    """The digest of the bytes from an upload's first one on, while the others arrive."""

    def __init__(self, algorithm: str) -> None:
        self.lock = threading.Lock()
        self.prefix = Prefix(algorithm)


class Uploads:
    """The uploads into `root`, with a record of each in the folder `notes`. Thread-safe."""

    def __init__(self, root: ContentRoot, notes: Path, digests: Digests) -> None:
        self._root = root
        self._notes = notes
        self._digests = digests
        self._locks = [threading.Lock() for _ in range(LOCKS)]
        # Taken last, so that no other upload replaces a goal between its check and its replacement.
        self._goals = [threading.Lock() for _ in range(LOCKS)]
        self._fronts: dict[str, _Front] = {}
        self._fronts_lock = threading.Lock()

    def find(self, path: str, size: int, name: str, digest: Digest | None) -> Upload:
        """Identify the upload to a path. Raises IsADirectory, InvalidArgument, OutsideRoot."""
        file, goal = goal_at(self._root, path)
        return Upload(show(file), goal, size, name, digest)

    def look(self, upload: Upload) -> FileUpload:
        """Report the upload's state; waits some seconds for the digest of the file at its goal.

        Raises DiskFull if the rest does not fit: on a full disk a piece may never reach `add`.
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
                f"The piece ends at byte {stop}, but the file has {upload.size} bytes.", "Send bytes of the file."
            )
        with self._lock(upload), translate_write_errors(upload.goal):
            # Checked with the lock held: the upload may have been finished while this piece waited.
            if self._is_there(upload):
                return upload.describe("complete", _whole(upload))
            received = self._received(upload)
            # A piece already received is left alone: its digest may be being computed.
            is_new = length and not any(start <= offset and stop <= end for start, end in received)
            if is_new:
                self._make_folder(upload)
                if not received:
                    _check_room(upload, received)
                    self._note(upload, received)  # so that a partial file without a note is never left behind
                try:
                    _write(upload.partial, offset, length, body)
                finally:
                    if not received or any(start < stop and offset < end for start, end in received):
                        self._take_front(upload)  # bytes that it has seen were replaced
                received = merge_ranges([*received, (offset, stop)])
                self._note(upload, received)
        if is_new:
            self._advance(upload, received, CATCH_UP * length)
        return upload.describe("open", received)

    def finish(
        self, upload: Upload, modified_ns: int | None, executable: bool = False, expected: str | None = None
    ) -> FileUpload:
        """Verify the file and rename it, if `expected` is None or the ETag of the file that it replaces.

        Raises Damaged, DiskFull, FileChanged, Incomplete, InvalidArgument, IsADirectory.
        """
        for _ in range(TRIES):
            found = self._try_to_finish(upload, modified_ns, executable, expected)
            if found is not None and executable and found["executable"] is False:
                make_executable(upload.goal)  # it was there before
                return upload.describe("complete", _whole(upload))
            if found is not None:
                return found
        return upload.describe("checking", _whole(upload))

    def discard(self, upload: Upload) -> FileUpload:
        """Remove what was received; a piece that comes later begins again."""
        with self._lock(upload), translate_write_errors(upload.goal):
            self._discard(upload)
        return upload.describe("open", [])

    def _try_to_finish(
        self, upload: Upload, modified_ns: int | None, executable: bool, expected: str | None
    ) -> FileUpload | None:
        """Finish the upload; return None if the partial file changed since it was verified."""
        expected_digest = upload.digest
        if expected_digest is None:
            raise InvalidArgument("The digest is missing.", f"Send digest={FASTEST}:… of the file.")
        if self._is_there(upload):
            return upload.describe("complete", _whole(upload))
        with self._lock(upload), translate_write_errors(upload.goal):
            received = self._received(upload)
            if upload.size == 0:
                self._make_folder(upload)
                self._note(upload, received)
                upload.partial.touch()
            etag = _etag(upload.partial) if received == _whole(upload) else None
        if etag is None:
            return self._finished_before(upload, received)
        try:
            digest = self._digests.get(
                upload.partial, etag, expected_digest.algorithm, self._take_front(upload, expected_digest.algorithm)
            )
        except NotFound:
            return None
        if digest is None:
            return upload.describe("checking", received)
        with self._lock(upload), translate_write_errors(upload.goal):
            is_ours = _etag(upload.partial) == etag
            if digest != expected_digest:
                if is_ours:
                    self._discard(upload)
                raise Damaged(
                    f"The bytes received for {upload.shown} do not match their digest and were discarded.",
                    "Send it again. If it happens again, the file changed while it was read.",
                )
            if is_ours:
                with self._goals[hash(upload.goal) % LOCKS]:
                    if expected is not None and expected != (_etag(upload.goal) or ABSENT):
                        self._discard(upload)
                        raise FileChanged(
                            f"{upload.shown} has changed since it was read, and was not replaced.",
                            "Read it again, and send the change to what it is now.",
                        )
                    self._complete(upload, modified_ns, executable)
                return upload.describe("complete", received)
        return None  # another request was faster

    def _complete(self, upload: Upload, modified_ns: int | None, executable: bool) -> None:
        rename_into_place(upload.partial, upload.goal, modified_ns, executable)
        self._note_path(upload).unlink(missing_ok=True)
        etag = _etag(upload.goal)
        if etag is not None and upload.digest is not None:
            self._digests.note(upload.goal, etag, upload.digest)
            self._digests.note(upload.goal, etag, Digest(NAME, upload.name))

    def _discard(self, upload: Upload) -> None:
        self._take_front(upload)
        upload.partial.unlink(missing_ok=True)
        self._note_path(upload).unlink(missing_ok=True)

    def _finished_before(self, upload: Upload, received: Ranges) -> FileUpload:
        found = self._look(upload, received)
        if found["state"] == "open":
            raise Incomplete(
                f"{upload.shown} is missing {upload.size - _amount(received)} of its {upload.size} bytes.",
                "GET /files/upload lists the received bytes; send the others, then finish it.",
            )
        return found

    def _look(self, upload: Upload, received: Ranges) -> FileUpload:
        etag = self._etag_there(upload)
        if etag is not None and upload.digest is not None:
            digest = self._digests.get(upload.goal, etag, upload.digest.algorithm)
            if digest is None:
                return upload.describe("checking", received)
            if digest == upload.digest:
                return upload.describe("complete", _whole(upload))
        elif etag is not None and not received:
            return upload.describe("similar", received)
        return upload.describe("open", received)

    def _is_there(self, upload: Upload) -> bool:
        """Return whether the goal is known to have these bytes; computes no digest."""
        etag = self._etag_there(upload)
        wanted = upload.digest or Digest(NAME, upload.name)
        return etag is not None and self._digests.known(upload.goal, etag, wanted.algorithm) == wanted

    def _advance(self, upload: Upload, received: Ranges, most: int) -> None:
        """Hash up to `most` of the bytes that follow those hashed before, unless another request is doing so."""
        stop = received[0][1] if received and received[0][0] == 0 else 0
        with self._fronts_lock:
            front = self._fronts.get(upload.key)
            if front is None:
                while len(self._fronts) >= MAX_FRONTS:
                    del self._fronts[next(iter(self._fronts))]
                front = self._fronts[upload.key] = _Front(upload.digest.algorithm if upload.digest else FASTEST)
        # What is not hashed here is when the upload is finished.
        if stop > front.prefix.length and front.lock.acquire(blocking=False):
            try:
                with suppress(OSError), upload.partial.open("rb") as stream:
                    front.prefix.read(stream, min(stop, front.prefix.length + most))
            finally:
                front.lock.release()

    def _take_front(self, upload: Upload, algorithm: str | None = None) -> Prefix | None:
        """Return the digest so far, if it is by this algorithm, and forget it."""
        with self._fronts_lock:
            front = self._fronts.pop(upload.key, None)
        if front is None or front.prefix.algorithm != algorithm:
            return None
        with front.lock:
            return front.prefix

    def _etag_there(self, upload: Upload) -> str | None:
        """Return the ETag of the file at the goal if its size matches."""
        try:
            status = upload.goal.stat()
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise folder_error(upload.goal)
        return etag_of(status) if stat.S_ISREG(status.st_mode) and status.st_size == upload.size else None

    def _make_folder(self, upload: Upload) -> None:
        upload.goal.parent.mkdir(parents=True, exist_ok=True)
        self._root.check(upload.goal)
        with suppress(FileNotFoundError):
            upload.goal.lstat()  # an impossible name is refused now, not after the last piece

    def _lock(self, upload: Upload) -> threading.Lock:
        return self._locks[int(upload.key[:8], 16) % LOCKS]

    def _note_path(self, upload: Upload) -> Path:
        return self._notes / f"{upload.key}.json"

    def _received(self, upload: Upload) -> Ranges:
        """Return the recorded ranges; none if the partial file is gone."""
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


def merge_ranges(ranges: Ranges) -> Ranges:
    """Return the same bytes as sorted ranges that neither overlap nor touch."""
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
    """Raise DiskFull if the missing bytes do not fit."""
    missing = upload.size - _amount(received)
    disk = shutil.disk_usage(next(folder for folder in upload.goal.parents if folder.is_dir()))
    if disk.total and disk.free < missing:  # some mounted drives report nothing
        raise DiskFull(
            f"{upload.shown} needs {missing} more bytes, and the disk has {disk.free} free.",
            "Remove files that are not needed, or send it to another disk; the bytes already received are kept.",
        )


def _write(partial: Path, offset: int, length: int, body: BinaryIO) -> None:
    """Write a piece. Raises OSError, and then restores the file's length, to free the space on a full disk."""
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
            raise InvalidArgument("The piece is shorter than its stated length.", "Send it again.")
        length -= len(block)
        if ZEROS.startswith(block) and _skip_zeros(file, len(block)):
            continue
        while block:
            block = block[file.write(block) :]


def _skip_zeros(file: FileIO, length: int) -> bool:
    """Skip `length` bytes if the file has only zeros or nothing there: a hole takes no disk space."""
    start = file.tell()
    is_empty = ZEROS.startswith(file.read(length))
    file.seek(start + length if is_empty else start)
    return is_empty

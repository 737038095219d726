"""The machine's files: listing, describing, reading, and clearing of temporary ones."""

from __future__ import annotations

import builtins
import codecs
import difflib
import errno
import hashlib
import heapq
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from .errors import InvalidArgument, IsADirectory, NotFound
from .paths import STATE_FOLDER, ContentRoot, names, show
from .ranges import RangeReply, serve_open

MAX_ENTRIES = 1000
MAX_READ = 4 * 1024 * 1024
DIGEST_WAIT = 20.0
DIGESTS_KEPT = 1024
TEMPORARY = (".tmp", ".temp", ".pyc")
NAMES_COMPARED = 10_000


class Files:
    """The files as seen from the content root. Holds no file open but while it is being read."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self._digests: dict[tuple[str, str], _Digest] = {}
        self._lock = threading.Lock()

    def list(self, path: str, recursive: bool, limit: int, cursor: str | None) -> dict[str, Any]:
        """List a folder, sorted by name. A cursor is the last name shown, so files that come and go shift no page."""
        if limit < 1:
            raise InvalidArgument("limit must be at least 1.", f"Ask for 1 to {MAX_ENTRIES} entries.")
        limit = min(limit, MAX_ENTRIES)
        after = unquote_to_bytes(cursor) if cursor else b""
        folder = self._root.locate(path)
        total = 0

        def keys() -> Iterator[bytes]:
            nonlocal total
            hidden = self._root.state_below(folder)
            for name in _walk(folder, hidden) if recursive else names(folder):
                if name == hidden:
                    continue
                total += 1
                key = os.fsencode(name.replace(os.sep, "/"))
                if key > after:
                    yield key

        with _clear(folder):
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise InvalidArgument(f"{show(folder)} is a file, not a folder.", "List the folder that holds it.")
            page = heapq.nsmallest(limit + 1, keys())  # only the page is kept, however many names there are
        entries = [entry for key in page[:limit] if (entry := self._entry(folder, os.fsdecode(key), recursive))]
        more = quote_from_bytes(page[limit - 1]) if len(page) > limit else None
        return {"path": show(folder), "entries": entries, "next_cursor": more, "total": total}

    def stat(self, path: str, digest: str | None) -> dict[str, Any]:
        """Describe a file. `digest_pending` means: ask again, it is being made or the file changed meanwhile."""
        if digest not in (None, "", "sha256"):
            raise InvalidArgument(f"{digest!r} is no digest that is known here.", "Ask for digest=sha256.")
        file = self._root.locate(path)
        entry = self._entry(file.parent, file.name, recursive=False)
        if entry is None:
            with _clear(file):
                file.lstat()
            raise _not_found(file)
        is_file = entry["type"] == "file"
        reply = {**entry, "path": show(file), "etag": None, "sha256": None, "digest_pending": False}
        if is_file:
            with _clear(file):
                reply["etag"] = etag_of(file.stat())
        if is_file and digest:
            found = self._digest(file, str(reply["etag"]))
            reply["sha256"] = found
            reply["digest_pending"] = found is None
        return reply

    def read(self, path: str, offset: int, limit: int) -> dict[str, Any]:
        """Read a page of text. `offset` and `limit` count bytes; a page ends between characters."""
        if not 0 <= offset < 1 << 63 or limit < 1:
            raise InvalidArgument("offset must be 0 or more and limit 1 or more.", "Leave them out for the beginning.")
        limit = min(max(limit, 4), MAX_READ)  # 4: the longest character, so that every page gets somewhere
        file = self._root.locate(path)
        with _clear(file), self._root.open(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(offset)
            data = stream.read(limit + 1)  # one more tells whether this is the end; /proc says size 0 and has content
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        more = len(data) > limit
        text = decoder.decode(data[:limit], final=not more)
        end = offset + min(len(data), limit)
        following = end - len(decoder.getstate()[0]) if more else None
        size = max(size, end if data else 0)
        return {"path": show(file), "text": text, "offset": offset, "next": following, "size": size}

    def open_range(self, path: str, range_header: str | None, if_range: str | None) -> RangeReply:
        """Answer a download. The ETag is of the very file that was opened, whatever has its name by then."""
        file = self._root.locate(path)
        with _clear(file):
            stream = self._root.open(file)
            etag = etag_of(os.fstat(stream.fileno()))
            return serve_open(stream, etag, "application/octet-stream", range_header, if_range)

    def clear_temp(self) -> builtins.list[str]:
        """Delete the temporary files under the root, and say which.

        Links are left alone, and so are other file systems mounted below the root: a mounted Drive is the user's own.
        """
        deleted = []
        top = self._root.path
        device = top.stat().st_dev
        for folder, folders, found in _visit(top, self._root.state_below(top)):
            here = Path(folder)
            folders[:] = [name for name in folders if _on(device, here / name)]
            for name in found:
                file = here / name
                if file.suffix in TEMPORARY and _delete(file):
                    deleted.append(show(file))
        return sorted(deleted)

    def _entry(self, folder: Path, name: str, recursive: bool) -> dict[str, Any] | None:
        """Describe one name in a folder, or None when it has vanished."""
        file = folder / name
        try:
            status = file.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            is_followed = is_link and self._root.holds(file)
            if is_followed:
                status = file.stat()
        except OSError:
            if not os.path.islink(file):  # noqa: PTH114 - Path.is_symlink() raises where folders are closed
                return None
            kind = "link"  # it leads nowhere, or in circles
        else:
            kind = _kind(status.st_mode)
            if is_link and (not is_followed or (recursive and kind == "directory")):
                kind = "link"
        modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="milliseconds")
        return {
            "name": show(name),
            "path": show(file),
            "type": kind,
            "size": status.st_size if kind == "file" else 0,
            "modified_at": modified.replace("+00:00", "Z"),
        }

    def _digest(self, file: Path, etag: str) -> str | None:
        key = (str(file), etag)
        with self._lock:
            digest = self._digests.get(key)
            if digest is None:
                while len(self._digests) >= DIGESTS_KEPT:
                    del self._digests[next(iter(self._digests))]
                digest = self._digests[key] = _Digest(self._root, file, etag)
        digest.join(DIGEST_WAIT)
        if digest.is_alive():
            return None
        if digest.value is None:  # not kept, so that the next call tries again
            with self._lock:
                self._digests.pop(key, None)
            if digest.fault is not None:
                with _clear(file):
                    raise digest.fault
        return digest.value


class _Digest(threading.Thread):
    """A SHA-256 in the making. A daemon, since hashing a large file must not hold up the end of the process."""

    def __init__(self, root: ContentRoot, file: Path, etag: str) -> None:
        super().__init__(name="sha256", daemon=True)
        self._root = root
        self._path = file
        self._etag = etag
        self.value: str | None = None
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._root.open(self._path) as stream:
                value = sha256(stream)
                if etag_of(os.fstat(stream.fileno())) == self._etag:
                    self.value = value
        except Exception as fault:
            self.fault = fault


def sha256(stream: BufferedReader) -> str:
    """Make the digest of an open file; hashlib lets other threads run meanwhile."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def etag_of(status: os.stat_result) -> str:
    """Make the strong ETag of a file, quotes included, as in the header."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'


def _kind(mode: int) -> str:
    return "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _walk(top: Path, hidden: str | None) -> Iterator[str]:
    """Yield every name below a folder, relative to it, but for the executor's notes and what cannot be read."""
    next(names(top), None)  # os.walk would be silent about the top too
    for folder, folders, files in _visit(top, hidden):
        here = os.path.relpath(folder, top)
        for name in (*folders, *files):
            yield name if here == "." else os.path.join(here, name)  # noqa: PTH118


def _visit(top: Path, hidden: str | None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder as os.walk does, but for the executor's notes: ours are not shown, others' not entered."""
    for folder, folders, files in os.walk(top):
        here = Path(os.path.relpath(folder, top))
        folders[:] = [name for name in folders if str(here / name) != hidden]
        yield folder, folders, files
        folders[:] = [name for name in folders if name != STATE_FOLDER]


def _on(device: int, folder: Path) -> bool:
    try:
        return folder.lstat().st_dev == device
    except OSError:
        return False


def _delete(file: Path) -> bool:
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return False
        file.unlink()
    except OSError:
        return False
    return True


@contextmanager
def _clear(file: Path) -> Iterator[None]:
    """Say in plain words what the operating system refused."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(file) from error
    except IsADirectoryError as error:
        raise IsADirectory(f"{show(file)} is a folder.", "Name a file in it.") from error
    except PermissionError as error:
        raise InvalidArgument(
            f"{show(file)} may not be read by the user that the executor runs as.",
            "Change its permissions, or copy it.",
        ) from error
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise InvalidArgument(
            f"{show(file)} cannot be read: {error.strerror or error} ({name}).", "Check the path."
        ) from error


def _not_found(file: Path) -> NotFound:
    missing = file
    while not os.path.isdir(missing.parent) and missing.parent != missing:  # noqa: PTH112 - as above
        missing = missing.parent
    try:
        there = [show(name) for name in islice(names(missing.parent), NAMES_COMPARED)]
    except OSError:
        there = []
    near = [show(missing.parent / name) for name in difflib.get_close_matches(show(missing.name), there)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"List {show(missing.parent)} to see what it holds."
    return NotFound(f"There is no {show(file)}.", hint)

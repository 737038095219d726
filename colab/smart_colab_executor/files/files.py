"""List, describe and read files, and delete temporary ones."""

from __future__ import annotations

import builtins
import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..core.errors import InvalidArgument
from ..wire.files import FileEntry, FileList, FileStat, FileType
from .content_root import STATE_FOLDER, ContentRoot, names, show
from .digests import Digests, check_algorithm, etag_of
from .file_types import SNIFFED_BYTES, sniff
from .os_errors import missing_error, translate_read_errors
from .partials import is_executable, is_partial
from .ranges import RangeReply, serve_open
from .text_lines import NO_TEXT, read_lines

MAX_ENTRIES = 10_000
TEMPORARY = (".tmp", ".temp", ".pyc")


class Files:
    """The files as seen from the content root. A file is open only while it is read."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self.digests = Digests(root)

    def list(self, path: str, recursive: bool, limit: int, cursor: str | None, pattern: str | None = None) -> FileList:
        """List a folder, or the names in it that match, sorted by name.

        A cursor is the last name shown, so created or deleted files shift no page.
        """
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
                last = os.path.basename(name)  # noqa: PTH119
                if name == hidden or is_partial(last) or (pattern and not fnmatchcase(last, pattern)):
                    continue
                total += 1
                key = os.fsencode(name.replace(os.sep, "/"))
                if key > after:
                    yield key

        with translate_read_errors(folder):
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise InvalidArgument(f"{show(folder)} is a file, not a folder.", "List the folder that holds it.")
            page = heapq.nsmallest(limit + 1, keys())  # only the page is kept, however many names there are
        entries = [entry for key in page[:limit] if (entry := self.entry(folder, os.fsdecode(key), recursive))]
        more = quote_from_bytes(page[limit - 1]) if len(page) > limit else None
        return {"path": show(folder), "entries": entries, "next_cursor": more, "total": total}

    def stat(self, path: str, digest: str | None) -> FileStat:
        """Describe a file. `digest_pending`: ask again; the digest is being computed, or the file changed meanwhile."""
        algorithm = check_algorithm(digest) if digest else None
        file = self._root.locate(path)
        seen = self._look(file.parent, file.name, recursive=False)
        if seen is None:
            with translate_read_errors(file):
                file.lstat()
            raise missing_error(file)
        entry, status = seen
        is_file = entry["type"] == "file"
        reply: FileStat = {
            **entry,
            "path": show(file),
            # Of the same look as the size: the file may be replaced at any time.
            "etag": etag_of(status) if is_file else None,
            "sha256": None,
            "blake3": None,
            "digest_pending": False,
        }
        if is_file and algorithm:
            found = self.digests.get(file, str(reply["etag"]), algorithm)
            reply["digest_pending"] = found is None
            if found is not None:
                reply["blake3" if algorithm == "blake3" else "sha256"] = found.value
        return reply

    def read(self, path: str, line: int, lines: int, max_bytes: int) -> dict[str, Any]:
        """Read whole lines of a text from line `line` on; negative numbers count from the end."""
        if line == 0:
            raise InvalidArgument("There is no line 0.", "1 is the first line, -1 the last.")
        file = self._root.locate(path)
        with translate_read_errors(file), self._root.open(file) as stream:
            status = os.fstat(stream.fileno())
            head = stream.read(SNIFFED_BYTES)
            mime, encoding = sniff(head, file.name)
            stream.seek(0)
            page = read_lines(stream, line, lines, max_bytes, encoding) if encoding else NO_TEXT
        return {
            "path": show(file),
            "size": max(status.st_size, len(head)),  # files in /proc have size 0 and content
            "modified_at": time_text(status),
            "mime": mime,
            "is_text": encoding is not None,
            **asdict(page),
        }

    def open_range(self, path: str, range_header: str | None, if_range: str | None) -> RangeReply:
        """Answer a download. The ETag belongs to the opened file, even if the name now leads to another."""
        file = self._root.locate(path)
        with translate_read_errors(file):
            stream = self._root.open(file)
            etag = etag_of(os.fstat(stream.fileno()))
            return serve_open(stream, etag, "application/octet-stream", range_header, if_range)

    def clear_temp(self) -> builtins.list[str]:
        """Delete the temporary files under the root, and return their paths.

        Links are left alone, and so are other file systems mounted below the root: a mounted Drive is the user's own.
        """
        deleted = []
        top = self._root.path
        device = top.stat().st_dev
        for folder, folders, found in visit(top, self._root.state_below(top)):
            here = Path(folder)
            folders[:] = [name for name in folders if _on(device, here / name)]
            for name in found:
                file = here / name
                if file.suffix in TEMPORARY and _delete(file):
                    deleted.append(show(file))
        return sorted(deleted)

    def entry(self, folder: Path, name: str, recursive: bool) -> FileEntry | None:
        """Describe one name in a folder; return None if it has vanished."""
        seen = self._look(folder, name, recursive)
        return seen and seen[0]

    def _look(self, folder: Path, name: str, recursive: bool) -> tuple[FileEntry, os.stat_result] | None:
        file = folder / name
        kind: FileType = "link"
        try:
            status = file.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            is_followed = is_link and self._root.is_inside(file)
            if is_followed:
                status = file.stat()
        except OSError:
            if not os.path.islink(file):  # noqa: PTH114 - Path.is_symlink() raises where folders are closed
                return None
            executable = None  # a broken or circular link
        else:
            kind, executable = _kind(status.st_mode), is_executable(status)
            if is_link and (not is_followed or (recursive and kind == "directory")):
                kind = "link"
        entry: FileEntry = {
            "name": show(name),
            "path": show(file),
            "type": kind,
            "size": status.st_size if kind == "file" else 0,
            "modified_at": time_text(status),
            "executable": executable if kind == "file" else None,
        }
        return entry, status


def time_text(status: os.stat_result) -> str:
    """Return a file's modification time as the API writes it, or the nearest time that it can write."""
    try:
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        modified = (datetime.min if status.st_mtime < 0 else datetime.max).replace(tzinfo=UTC)
    return modified.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kind(mode: int) -> FileType:
    return "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _walk(top: Path, hidden: str | None) -> Iterator[str]:
    """Yield every name below a folder, relative to it, except the executor's own and unreadable ones."""
    next(names(top), None)  # os.walk would be silent about the top too
    for folder, folders, files in visit(top, hidden):
        here = os.path.relpath(folder, top)
        for name in (*folders, *files):
            yield name if here == "." else os.path.join(here, name)  # noqa: PTH118


def visit(top: Path, hidden: str | None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder like os.walk; skip this executor's state folder, and do not enter those of others."""
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

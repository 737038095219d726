"""One byte range of one file, by RFC 9110, section 14."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from ..core.errors import InvalidArgument, IsADirectory, RangeNotSatisfiable

CHUNK = 256 * 1024

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,20})\s*-\s*(\d{0,20})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class RangeReply:
    """A reply with a file as its body; the file is closed at its end, by `close()`, or when the body is dropped."""

    status: int
    headers: dict[str, str]
    body: Iterator[bytes]


def serve(
    path: Path, etag: str | None, content_type: str, range_header: str | None, if_range: str | None
) -> RangeReply:
    """Answer with the file at `path`, or the part of it that `range_header` asks for.

    `etag` includes the quotes. A request for several ranges is answered with the whole file, as the RFC allows.
    """
    return serve_open(open_regular(path), etag, content_type, range_header, if_range)


def serve_open(
    file: BufferedReader, etag: str | None, content_type: str, range_header: str | None, if_range: str | None
) -> RangeReply:
    """Answer like `serve`, with an open file that the reply takes ownership of."""
    size = os.fstat(file.fileno()).st_size
    headers = {"Accept-Ranges": "bytes", "Content-Type": content_type}
    if etag is not None:
        headers["ETag"] = etag
    # A date in If-Range never matches: no Last-Modified was ever sent.
    wanted = range_header if if_range is None or _same(if_range, etag) else None
    try:
        part = parse(wanted, size)
    except RangeNotSatisfiable:
        file.close()
        raise
    start, stop = part or (0, size)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return RangeReply(200 if part is None else 206, headers, _Body(file, start, stop - start))


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """Parse a Range header into (start, stop); None for the whole file, also for a malformed header."""
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, stop = max(size - int(last), 0), size
        if size == 0 < int(last):
            return None  # satisfiable but empty, which Content-Range cannot express
    else:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, stop


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file; refuse anything else, as opening a FIFO blocks and a device may have side effects."""
    _must_be_regular(path, path.stat().st_mode)
    file = open(path, "rb", opener=_opener)  # noqa: SIM115
    try:
        _must_be_regular(path, os.fstat(file.fileno()).st_mode)  # it may have been replaced
    except BaseException:
        file.close()
        raise
    return file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _must_be_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectory(f"{path} is a folder.", "Name a file in it; list the folder to see what it holds.")
    if not stat.S_ISREG(mode):
        raise InvalidArgument(f"{path} is not a regular file.", "Pipes, sockets and devices cannot be read from here.")


def _same(if_range: str, etag: str | None) -> bool:
    return etag is not None and if_range.strip() == etag and not etag.startswith("W/")


class _Body(Iterator[bytes]):
    """Yields exactly the promised bytes, or fewer if the file shrinks: the server then closes the connection."""

    def __init__(self, file: BufferedReader, start: int, length: int) -> None:
        self._file = file
        self._left = length
        file.seek(start)

    def __next__(self) -> bytes:
        chunk = b"" if self._file.closed else self._file.read(min(CHUNK, self._left))
        if not chunk:
            self.close()
            raise StopIteration
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()

    __del__ = close  # a generator that never started would not run its `finally`

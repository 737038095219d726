"""Text files, read by lines. Blockwise, so that memory does not grow with the file."""

from __future__ import annotations

import codecs
import mimetypes
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader

from .errors import Busy

SNIFFED_BYTES = 8192
BLOCK = 256 * 1024
# The lines of a larger file are counted only where they must be.
COUNTED_BYTES = 64 * 1024 * 1024
MAX_LINES = 10_000
# What goes through more of a file than it can within this time is given up, for its caller waits.
PATIENCE_SEC = 20.0

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"PK\x05\x06": "application/zip",
}
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# Without the system's own lists, which differ.
_NAMES = mimetypes.MimeTypes()
_NAMES.add_type("text/markdown", ".md")  # Python 3.11 does not know it


@dataclass(frozen=True)
class Lines:
    """Some lines of a text, as in `GET /files/read`."""

    text: str
    first_line: int | None
    next_line: int | None
    total_lines: int | None
    is_cut: bool


NO_TEXT = Lines("", None, None, None, is_cut=False)


def sniff(head: bytes, name: str) -> tuple[str, bool]:
    """Tell a file's media type, and whether it is text, from its first `SNIFFED_BYTES` and its name."""
    for magic, found in _MAGIC.items():
        if head.startswith(magic):
            return found, False
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp", False
    guess, encoding = _NAMES.guess_type(name)
    if encoding is not None:
        guess = _COMPRESSED.get(encoding)
    if b"\0" in head:
        return guess if guess and not guess.startswith("text/") else "application/octet-stream", False
    # A name can say what the content is not: .ts is a video's too.
    is_text = guess is not None and (guess.startswith(("text/", "application/")) or guess == "image/svg+xml")
    return guess if guess and is_text else "text/plain", True


def read_lines(
    file: BufferedReader, line: int, lines: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
) -> Lines:
    """Read from the `line`-th line of a file that was opened just now; -1 is the last. See API.md.

    Raises Busy where the lines lie too far within the file to be found in time.
    """
    patience = _Patience(clock)
    size = os.fstat(file.fileno()).st_size
    if line < 0 and size > COUNTED_BYTES:
        return _from_the_end(file, size, -line, lines, max_bytes, patience)
    if line < 0:
        line = max(1, _count(file, patience) + 1 + line)
        file.seek(0)
    cursor = _Cursor(file, patience)
    cursor.skip(line - 1)
    page, is_cut = cursor.take(lines, max_bytes)
    is_end = cursor.is_at_end()
    following = None if is_end else cursor.newlines + 1
    total = cursor.lines if is_end else None
    if not is_end and size <= COUNTED_BYTES:
        with suppress(Busy):
            cursor.skip()
            total = cursor.lines
    return Lines(_text(page, is_cut), line, following, total, is_cut)


def _from_the_end(
    file: BufferedReader, size: int, count: int, lines: int, max_bytes: int, patience: _Patience
) -> Lines:
    start = _find_from_end(file, size, count, patience)
    file.seek(start)
    cursor = _Cursor(file, patience)
    page, is_cut = cursor.take(lines, max_bytes)
    text = _text(page, is_cut)
    if cursor.is_at_end():
        return Lines(text, None if start else 1, None, None if start else cursor.lines, is_cut)
    # Whoever reads on needs the number of the next line.
    file.seek(0)
    try:
        before = _count(file, patience, start)
    except Busy:
        return Lines(text, None, None, None, is_cut)
    return Lines(text, before + 1, before + cursor.newlines + 1, None, is_cut)


def _find_from_end(file: BufferedReader, size: int, count: int, patience: _Patience) -> int:
    """Where the last `count` lines begin."""
    position = size
    while position > 0:
        patience.check()
        start = max(0, position - BLOCK)
        file.seek(start)
        block = file.read(position - start)
        # The newline at the very end begins no line.
        stop = len(block) - 1 if position == size and block.endswith(b"\n") else len(block)
        found = block.count(b"\n", 0, stop)
        if found >= count:
            for _ in range(count):
                stop = block.rfind(b"\n", 0, stop)
            return start + stop + 1
        count -= found
        position = start
    return 0


def _count(file: BufferedReader, patience: _Patience, stop: int | None = None) -> int:
    """Count the lines up to a place, or to the end."""
    cursor = _Cursor(file, patience)
    cursor.skip(stop=stop)
    return cursor.lines


def _text(page: bytes, is_cut: bool) -> str:
    """Decode a page; of a line that was cut, half a character is left out."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(page, final=not is_cut)


class _Patience:
    """The time for one read, from now on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + PATIENCE_SEC

    def check(self) -> None:
        """Raises Busy when it is over."""
        if self._clock() >= self._end:
            raise Busy(
                f"The file is so large that these lines were not found within {PATIENCE_SEC:.0f} s.",
                "Ask for lines nearer to its beginning or, with a negative number, its end; or run code that reads it.",
                status=409,
                retryable=False,
            )


class _Cursor:
    """Goes through a file and counts."""

    def __init__(self, file: BufferedReader, patience: _Patience) -> None:
        self._file = file
        self._patience = patience
        self._is_in_line = False
        self.newlines = 0

    @property
    def lines(self) -> int:
        """The lines passed so far, with the one that has no end."""
        return self.newlines + self._is_in_line

    def is_at_end(self) -> bool:
        # peek() would do no read where its buffer is empty on Python 3.11, and some of the system's files have no size.
        byte = self._file.read(1)
        if byte:
            self._file.seek(-1, os.SEEK_CUR)
        return not byte

    def skip(self, count: int | None = None, stop: int | None = None) -> None:
        """Go behind so many newlines, or to the place `stop`, or to the end."""
        left = BLOCK if stop is None else stop - self._file.tell()
        while count != 0 and (block := self._file.read(BLOCK if stop is None else min(BLOCK, left))):
            found = block.count(b"\n")
            if count is not None and found >= count:
                end = 0
                for _ in range(count):
                    end = block.index(b"\n", end) + 1
                self._file.seek(end - len(block), os.SEEK_CUR)
                block, found = block[:end], count
            self._pass(block, found)
            self._patience.check()
            left -= len(block)
            count = None if count is None else count - found

    def take(self, lines: int, max_bytes: int) -> tuple[bytes, bool]:
        """Read so many whole lines, at least one; that one is cut where it is longer than `max_bytes`."""
        data = self._file.read(max_bytes + 1)  # the newline is not counted
        end = 0
        for _ in range(lines):
            newline = data.find(b"\n", end)
            if newline < 0:
                if len(data) <= max_bytes:
                    end = len(data)  # the last line, without an end
                break
            end = newline + 1
        is_cut = end == 0 and bool(data)
        page = data[: end or max_bytes]
        self._file.seek(len(page) - len(data), os.SEEK_CUR)
        self._pass(page, page.count(b"\n"))
        if is_cut:
            self.skip(1)
        return page, is_cut

    def _pass(self, block: bytes, newlines: int) -> None:
        if block:
            self.newlines += newlines
            self._is_in_line = not block.endswith(b"\n")

"""Read text files by lines, in blocks, so that memory does not grow with the file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader

from ..core.errors import Occupied
from .file_types import UTF_8, Encoding, shows_progress

BLOCK = 256 * 1024
# The lines of a larger file are counted only if the request needs it.
MAX_COUNTED_BYTES = 64 * 1024 * 1024
MAX_LINES = 10_000
# A read that takes longer is abandoned, because the client is waiting.
READ_TIMEOUT_SEC = 20.0


@dataclass(frozen=True)
class Lines:
    """Some lines of a text, as in `GET /files/read`."""

    text: str
    first_line: int | None
    next_line: int | None
    total_lines: int | None
    is_cut: bool
    encoding: str | None = UTF_8.name


NO_TEXT = Lines("", None, None, None, is_cut=False, encoding=None)


def read_lines(
    file: BufferedReader,
    line: int,
    lines: int,
    max_bytes: int,
    encoding: Encoding = UTF_8,
    clock: Callable[[], float] = time.monotonic,
) -> Lines:
    """Read from line `line` of a newly opened file; -1 is the last line. See API.md.

    Raises Occupied if the lines cannot be found in time.
    """
    cursor = _Cursor(file, encoding, _Patience(clock))
    size = os.fstat(file.fileno()).st_size
    if line < 0 and size > MAX_COUNTED_BYTES:
        return _from_the_end(cursor, size, -line, lines, max_bytes)
    if line < 0:
        cursor.skip()
        line = max(1, cursor.lines + 1 + line)
        cursor.go_to(0)
    cursor.skip(line - 1)
    page, is_cut = cursor.take(lines, max_bytes)
    is_end = cursor.is_at_end()
    following = None if is_end else cursor.newlines + 1
    total = cursor.lines if is_end else None
    if not is_end and size <= MAX_COUNTED_BYTES:
        with suppress(Occupied):
            cursor.skip()
            total = cursor.lines
    text, name = _text(page, encoding, is_cut, is_first=line == 1)
    return Lines(text, line, following, total, is_cut, name)


def _from_the_end(cursor: _Cursor, size: int, count: int, lines: int, max_bytes: int) -> Lines:
    start = cursor.find_from_end(size, count)
    cursor.go_to(start)
    page, is_cut = cursor.take(lines, max_bytes)
    text, name = _text(page, cursor.encoding, is_cut, is_first=start == 0)
    if cursor.is_at_end():
        return Lines(text, None if start else 1, None, None if start else cursor.lines, is_cut, name)
    # A client that reads on needs the number of the next line.
    shown = cursor.newlines
    cursor.go_to(0)
    try:
        cursor.skip(stop=start)
    except Occupied:
        return Lines(text, None, None, None, is_cut, name)
    return Lines(text, cursor.lines + 1, cursor.lines + shown + 1, None, is_cut, name)


def _text(page: bytes, encoding: Encoding, is_cut: bool, is_first: bool) -> tuple[str, str]:
    """Decode a page without the byte order mark."""
    text, name = encoding.decode(page, is_cut)
    return (text.removeprefix("\ufeff") if is_first else text), name


class _Patience:
    """The time limit of one read, counted from its creation."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + READ_TIMEOUT_SEC

    def check(self) -> None:
        """Raise Occupied once the time is up."""
        if self._clock() >= self._end:
            raise Occupied(
                f"The file is so large that these lines were not found within {READ_TIMEOUT_SEC:.0f} s.",
                "Ask for lines nearer to its start or, with a negative number, its end; or run code that reads it.",
                retryable=False,
            )


class _Cursor:
    """A position in a file that counts the lines passed."""

    def __init__(self, file: BufferedReader, encoding: Encoding, patience: _Patience) -> None:
        self._file = file
        self.encoding = encoding
        self._patience = patience
        self._is_in_line = False
        self.newlines = 0

    @property
    def lines(self) -> int:
        """The lines passed so far, including an unterminated one."""
        return self.newlines + self._is_in_line

    def go_to(self, position: int) -> None:
        """Move to the start of a line, and count from there."""
        self._file.seek(position)
        self.newlines, self._is_in_line = 0, False

    def is_at_end(self) -> bool:
        # peek() does not read into an empty buffer on Python 3.11, and some files of the system have no size.
        byte = self._file.read(1)
        if byte:
            self._file.seek(-1, os.SEEK_CUR)
        return not byte

    def find_from_end(self, size: int, count: int) -> int:
        """Return the position at which the last `count` lines start."""
        position = size
        while position > 0:
            self._patience.check()
            start = max(0, position - BLOCK) // self.encoding.width * self.encoding.width
            self._file.seek(start)
            block = self._file.read(position - start)
            # A newline at the very end starts no line.
            is_last = position == size and block.endswith(self.encoding.newline)
            stop = len(block) - self.encoding.width if is_last else len(block)
            found = self.encoding.count(block, stop)
            if found >= count:
                for _ in range(count):
                    stop = self.encoding.rfind_newline(block, stop)
                return start + stop + self.encoding.width
            count -= found
            position = start
        return 0

    def skip(self, count: int | None = None, stop: int | None = None) -> None:
        """Move past `count` newlines, to the position `stop`, or to the end."""
        left = BLOCK if stop is None else stop - self._file.tell()
        while count != 0 and (block := self._file.read(BLOCK if stop is None else min(BLOCK, left))):
            found = self.encoding.count(block)
            if count is not None and found >= count:
                end = 0
                for _ in range(count):
                    end = self.encoding.find(block, self.encoding.newline, end) + self.encoding.width
                self._file.seek(end - len(block), os.SEEK_CUR)
                block, found = block[:end], count
            self._pass(block, found)
            self._patience.check()
            left -= len(block)
            count = None if count is None else count - found

    def take(self, lines: int, max_bytes: int) -> tuple[bytes, bool]:
        """Read up to `lines` whole lines, at least one; a first line longer than `max_bytes` is cut."""
        max_bytes -= max_bytes % self.encoding.width
        data = self._file.read(max_bytes + self.encoding.width)  # the newline is not counted
        end = 0
        for _ in range(lines):
            newline = self.encoding.find(data, self.encoding.newline, end)
            if newline < 0:
                if len(data) <= max_bytes:
                    end = len(data)  # the last line, unterminated
                break
            end = newline + self.encoding.width
        is_cut = end == 0 and bool(data)
        page = data[: end or max_bytes]
        self._file.seek(len(page) - len(data), os.SEEK_CUR)
        self._pass(page, self.encoding.count(page))
        if not is_cut:
            return page, False
        self.skip(1)
        state = self._last_state(page, max_bytes)
        return (page, True) if state is None else (state, False)

    def _last_state(self, page: bytes, max_bytes: int) -> bytes | None:
        """Return the end of the line just passed if carriage returns separate the states of a progress bar in it."""
        sign = "\r".encode(self.encoding.codec)
        if self.encoding.find(page, sign) < 0 or not shows_progress(page.decode(self.encoding.codec, "replace")):
            return None
        self._file.seek(-max_bytes, os.SEEK_CUR)
        end = self._file.read(max_bytes)
        # The last two characters may be a line end.
        at = self.encoding.find(end[: -2 * self.encoding.width], sign)
        return None if at < 0 else end[at + self.encoding.width :]

    def _pass(self, block: bytes, newlines: int) -> None:
        if block:
            self.newlines += newlines
            self._is_in_line = not block.endswith(self.encoding.newline)

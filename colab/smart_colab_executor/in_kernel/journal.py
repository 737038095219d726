"""A journal of a kernel's latest output that outlives the kernel: a file mapped into its memory.

The kernel (where this is `_smart_colab.journal`) writes text to it and sends it from there; when the kernel has ended,
the executor reads what it has not received. The file is mapped because `write` would let another thread run at every
`print`. Standard library only.

The file has a number, the position up to which the executor has received everything, then two halves, written in turn.
A half is a sequence of chunks, each a header, a key and the text written consecutively under that key. A position
counts the bytes of all chunks ever written; a chunk's position is that of its text. A chunk whose position does not
continue the sequence is older: the half ends before it.

At the end is the landing, a chunk for what is read from a pipe: it would be lost if the kernel ended after it left the
pipe and before it is in a half. Its position is that of the last text before it; with later text it is out of date.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

# More than a kernel writes before it waits for the executor (see kernel_output).
HALF_BYTES = 8 * 1024 * 1024
MAX_POSITION = 2**63
LANDING_BYTES = 64 * 1024
_MAX_KEY_BYTES = 512
_HEARD = struct.Struct("<Q")
_HEADER = struct.Struct("<QIH")  # the position; how long the text and the key are
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 8
_LANDING_CHUNK_BYTES = _HEADER.size + _MAX_KEY_BYTES + LANDING_BYTES


class _Piece:
    """Text written consecutively under one key, with the part already taken."""

    __slots__ = ("base", "end", "key", "length_at", "limit", "memory", "taken", "text_at")

    def __init__(self, key: bytes, memory: mmap.mmap | bytes, text_at: int, end: int) -> None:
        self.key, self.memory, self.text_at, self.taken, self.end = key, memory, text_at, text_at, end
        # The offsets of its length and of its half's end, 0 outside the file; and the position at offset 0.
        self.length_at = self.limit = self.base = 0


class Journal:
    """The kernel's side. An exception in a signal handler at any point leaves it consistent.

    For one writer at a time, in any thread, and one reader that calls `take`; neither waits for the other.
    """

    def __init__(self, path: str | None) -> None:
        """Map the file created by the executor, or anonymous memory for None. Raises OSError, ValueError."""
        if path is None:
            self._map = mmap.mmap(-1, _file_bytes())
        else:
            with Path(path).open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        self.is_shared = path is not None
        # The end of the latest text.
        self.position = 0
        # Whether an `add` is in progress; a signal handler that interrupts it must call `hold` instead.
        self.is_adding = False
        self._landing_at = len(self._map) - _LANDING_CHUNK_BYTES
        self._half = (self._landing_at - _HEARD.size) // 2
        self._last = _Piece(b"", self._map, _HEARD.size, _HEARD.size)
        self._last.length_at, self._last.base = _HEARD.size, -_HEARD.size
        self._last.limit = _HEARD.size + self._half
        # In the order of writing. All but the last are removed once they are taken.
        self._pieces = deque([self._last])

    def add(self, key: bytes, text: bytes) -> None:
        """Append a text shorter than half a half. All text not yet taken must fit into a half."""
        try:
            self.is_adding = True
            piece = self._last
            end = piece.end + len(text)
            if key != piece.key or end > piece.limit or piece is not self._pieces[-1]:
                piece = self._begin(key, len(text))
                end = piece.end + len(text)
            self._map[piece.end : end] = text
            # Valid from here on: text truncated by a sudden end does not count.
            _LENGTH.pack_into(self._map, piece.length_at, end - piece.text_at)
            piece.end = end
            self.position = piece.base + end
        finally:
            self.is_adding = False

    def land(self, key: bytes, count: int) -> int:
        """Return the address to read `count` bytes to, at most LANDING_BYTES, which are to be added next."""
        at = self._landing_at + _HEADER.size + len(key)
        # In this order: the zero shows that nothing has been read yet.
        self._map[at] = 0
        self._map[self._landing_at : at] = _HEADER.pack(self.position, count, len(key)) + key
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map, at))

    def hold(self, key: bytes, text: bytes) -> None:
        """Queue a text in order with the others without writing it to the file."""
        self._pieces.append(_Piece(key, text, 0, len(text)))

    def take(self) -> list[tuple[bytes, bytes, int | None]]:
        """Take the new texts: return keys, texts, and the positions of their ends. For one thread."""
        pieces = list(self._pieces)
        # In this order: a piece that is not the last grows only in an `add` already in progress.
        may_grow = self.is_adding
        taken = []
        for piece in pieces:
            if (end := piece.end) > piece.taken:
                position = piece.base + end if piece.length_at else None
                taken.append((piece.key, piece.memory[piece.taken : end], position))
                piece.taken = end
        if not may_grow:
            for _ in pieces[1:]:
                self._pieces.popleft()
        return taken

    @property
    def has_untaken(self) -> bool:
        """Whether `take` may return anything."""
        last = self._pieces[-1]
        return len(self._pieces) > 1 or last.end > last.taken

    def acknowledged(self) -> int:
        """Return the position up to which the executor has received everything."""
        (position,) = _HEARD.unpack_from(self._map)
        return int(position)

    def _begin(self, key: bytes, size: int) -> _Piece:
        last = self._last
        length = _HEADER.size + len(key)
        # A signal may have interrupted the last `add`: only completed ones count.
        _LENGTH.pack_into(self._map, last.length_at, last.end - last.text_at)
        position = last.base + last.end + length
        at, limit = last.end, last.limit
        if at + length + size > limit:
            limit = self._landing_at if limit < self._landing_at else _HEARD.size + self._half
            at = limit - self._half
        text_at = at + length
        self._map[at:text_at] = _HEADER.pack(position, 0, len(key)) + key
        piece = _Piece(key, self._map, text_at, text_at)
        piece.length_at, piece.limit, piece.base = at + _LENGTH_AT, limit, position - text_at
        self._last = piece
        self._pieces.append(piece)
        return piece


class Chunk(NamedTuple):
    """Text written consecutively under one key."""

    position: int
    key: str
    text: memoryview

    @property
    def start(self) -> int:
        """The position of its header."""
        return self.position - _HEADER.size - len(self.key)


class LastWords:
    """The executor's side: text that a kernel has written and not sent. For one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None
        # The number in the file: the position up to which everything is received.
        self._noted = 0
        # Positions received beyond it, by key; and the furthest of all keys.
        self._heard: dict[str, int] = {}
        self._heard_to = 0
        # Messages up to this position were already reported by `take_unreceived`.
        self._reported = 0

    def create(self) -> None:
        """Make the file. Raises OSError."""
        # Disk space is allocated; a hole that a full disk cannot fill would kill the process that maps it.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("wb", buffering=0) as file:
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, _file_bytes())
            else:
                file.write(bytes(_file_bytes()))
        # Kept open: code that deletes the file loses nothing. Not mapped: code that truncates it would kill us.
        self._file = self.path.open("r+b", buffering=0)

    def open_existing(self) -> None:
        """Open the journal of a kernel whose executor has ended. Raises OSError."""
        self._file = self.path.open("r+b", buffering=0)
        number = self._file.read(_HEARD.size)
        if len(number) == _HEARD.size:
            (self._noted,) = _HEARD.unpack(number)
        self._heard_to = self._noted

    def has_reported(self, end: int) -> bool:
        """Return whether the text up to position `end` was reported by `take_unreceived`."""
        return end <= self._reported

    def acknowledge(self, key: str, end: int, complete: int) -> None:
        """Note that all text of `key` up to `end` was received, and all text of any key up to `complete`."""
        self._heard[key] = max(end, self._heard.get(key, 0))
        self._heard_to = max(end, self._heard_to)
        if complete > self._noted:
            self._note(complete)

    def _note(self, complete: int) -> None:
        self._noted = complete
        self._heard = {key: end for key, end in self._heard.items() if end > complete}
        if self._file is not None:
            with suppress(OSError):  # the kernel waits for a while, then continues
                self._file.seek(0)
                self._file.write(_HEARD.pack(complete))

    def take_unreceived(self) -> Iterator[tuple[str, str]]:
        """Yield keys and texts not yet received, which now count as received. For an ended kernel. Raises OSError."""
        if self._file is None:
            return
        self._file.seek(_HEARD.size)
        # The user's code can write to the file, and may have extended it.
        content = memoryview(self._file.read(_file_bytes() - _HEARD.size))
        chunks = _chunks(content[: 2 * HALF_BYTES])
        chunks += _landed(content[2 * HALF_BYTES :], chunks)
        missing = chunks[0].start - self._heard_to if chunks else 0
        for position, key, text in chunks:
            self._reported = position + len(text)
            rest = text[max(0, max(self._heard.get(key, 0), self._noted) - position) :]
            if rest:
                self._heard[key] = self._reported
                if missing > 0:
                    yield key, f"\n[{missing:,} bytes are missing here: they could not be read in time]\n"
                    missing = 0
                yield key, str(rest, "utf-8", "replace")

    def mark_reported(self) -> None:
        """Note that the texts from `take_unreceived` are now stored elsewhere."""
        self._note(max(self._reported, self._noted))

    def remove(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _file_bytes() -> int:
    return _HEARD.size + 2 * HALF_BYTES + _LANDING_CHUNK_BYTES


def _chunks(content: memoryview) -> list[Chunk]:
    """Return all chunks in the order of writing."""
    half = len(content) // 2
    halves = [_half(content[:half]), _half(content[half:])]
    # The newer half may have just been started.
    first, second = sorted(halves, key=lambda chunks: chunks[0].position if chunks else -1)
    return first + second


def _landed(content: memoryview, chunks: list[Chunk]) -> list[Chunk]:
    """Return the landing if it was read to and is not in a half yet."""
    end = max((chunk.position + len(chunk.text) for chunk in chunks if chunk.text), default=0)
    return [chunk for chunk in _half(content)[:1] if chunk.position == end and any(chunk.text[:1])]


def _half(content: memoryview) -> list[Chunk]:
    found: list[Chunk] = []
    at = fitting = 0
    while at + _HEADER.size <= len(content):
        position, length, key_length = _HEADER.unpack_from(content, at)
        text_at = at + _HEADER.size + key_length
        if not key_length or text_at + length > len(content) or position > MAX_POSITION:
            break
        if found and position != fitting + text_at - at:
            break
        at = text_at + length
        fitting = position + length
        key = str(content[text_at - key_length : text_at], "ascii", "replace")
        found.append(Chunk(position, key, content[text_at:at]))
    return found

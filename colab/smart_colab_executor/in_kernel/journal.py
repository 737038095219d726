"""The end of what a kernel printed, kept where it outlives the kernel: in a file that is mapped into its memory.

The kernel (here as `_smart_colab.journal`) writes a text down and sends it from there; the executor, when the kernel is
gone, reads what has not come. Memory, and not `write`, which would let another thread run at every `print`. Standard
library alone.

The file has a number, up to where the executor has heard all, then two halves, written in turn. A half is a row of
chunks, each a header, a key and text: what was written under one key in a row. A position counts the bytes of all
chunks ever written; a chunk's is that of its text. Where a half's chunks end, what follows is older: its position does
not fit.
"""

from __future__ import annotations

import mmap
import struct
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

# More than a kernel writes before it is heard (see kernel_output).
HALF_BYTES = 8 * 1024 * 1024
MAX_POSITION = 2**63
_HEARD = struct.Struct("<Q")
_HEADER = struct.Struct("<QIH")  # the position; how long the text and the key are
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 8


class _Piece:
    """What was written under one key in a row, from where it is not taken yet."""

    __slots__ = ("base", "end", "key", "length_at", "limit", "memory", "taken", "text_at")

    def __init__(self, key: bytes, memory: mmap.mmap | bytes, text_at: int, end: int) -> None:
        self.key, self.memory, self.text_at, self.taken, self.end = key, memory, text_at, text_at, end
        # Where its length is and where its half ends, 0 where it is not in the file; and the position of the place 0.
        self.length_at = self.limit = self.base = 0


class Journal:
    """The kernel's side. A signal's exception leaves it whole wherever it strikes.

    For one writer at once, which may be in any thread, and one that takes; neither waits for the other.
    """

    def __init__(self, path: str | None) -> None:
        """Map the file, which the executor has made, or have memory of our own. Raises OSError, ValueError."""
        if path is None:
            self._map = mmap.mmap(-1, _HEARD.size + 2 * HALF_BYTES)
        else:
            with Path(path).open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        self.is_shared = path is not None
        # Behind what was written last.
        self.position = 0
        # Whether somebody is in the middle of `add`; who is that himself, in a signal's handler, is to `hold`.
        self.is_adding = False
        self._half = (len(self._map) - _HEARD.size) // 2
        self._last = _Piece(b"", self._map, _HEARD.size, _HEARD.size)
        self._last.length_at, self._last.base = _HEARD.size, -_HEARD.size
        self._last.limit = _HEARD.size + self._half
        # In the order of writing. All but the last are taken out when they are taken.
        self._pieces = deque([self._last])

    def add(self, key: bytes, text: bytes) -> None:
        """Write down a text of less than half a half. What is not taken must fit a half."""
        try:
            self.is_adding = True
            piece = self._last
            end = piece.end + len(text)
            if key != piece.key or end > piece.limit or piece is not self._pieces[-1]:
                piece = self._begin(key, len(text))
                end = piece.end + len(text)
            self._map[piece.end : end] = text
            # It counts from here on: what a sudden end tears has not been printed.
            _LENGTH.pack_into(self._map, piece.length_at, end - piece.text_at)
            piece.end = end
            self.position = piece.base + end
        finally:
            self.is_adding = False

    def hold(self, key: bytes, text: bytes) -> None:
        """Have a text wait in its place among the others without writing it down."""
        self._pieces.append(_Piece(key, text, 0, len(text)))

    def take(self) -> list[tuple[bytes, bytes, int | None]]:
        """All that was written and not taken: keys, texts, and the positions behind them. In one thread."""
        pieces = list(self._pieces)
        # In this order: one that is not the last grows only where the adding had begun before.
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
        """Whether `take` may give something."""
        last = self._pieces[-1]
        return len(self._pieces) > 1 or last.end > last.taken

    def heard(self) -> int:
        """The position up to which the executor has heard all."""
        (position,) = _HEARD.unpack_from(self._map)
        return int(position)

    def _begin(self, key: bytes, size: int) -> _Piece:
        last = self._last
        length = _HEADER.size + len(key)
        # A signal may have torn the last writing down: only what is behind us counts.
        _LENGTH.pack_into(self._map, last.length_at, last.end - last.text_at)
        position = last.base + last.end + length
        at, limit = last.end, last.limit
        if at + length + size > limit:
            limit = len(self._map) if limit < len(self._map) else _HEARD.size + self._half
            at = limit - self._half
        text_at = at + length
        self._map[at:text_at] = _HEADER.pack(position, 0, len(key)) + key
        piece = _Piece(key, self._map, text_at, text_at)
        piece.length_at, piece.limit, piece.base = at + _LENGTH_AT, limit, position - text_at
        self._last = piece
        self._pieces.append(piece)
        return piece


class Chunk(NamedTuple):
    """What was written under one key in a row."""

    position: int
    key: str
    text: memoryview

    @property
    def start(self) -> int:
        """The position of its header."""
        return self.position - _HEADER.size - len(self.key)


class LastWords:
    """The executor's side: what a kernel has written down and not sent. In one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None
        # Up to where all is heard, as the file says it; by key where it is further; and the furthest of all.
        self._noted = 0
        self._heard: dict[str, int] = {}
        self._heard_to = 0
        # What is up to here and comes all the same was told as last words.
        self._told = 0

    def create(self) -> None:
        """Make the file. Raises OSError."""
        # Zeros have a place on the disk, where a hole that a full disk cannot fill would end the process that maps it.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(bytes(_HEARD.size + 2 * HALF_BYTES))
        # Open from now on: code that deletes the file loses nothing. Not mapped: code that cuts it would end us.
        self._file = self.path.open("r+b", buffering=0)

    def take_up(self) -> None:
        """Open the file of a kernel whose executor is gone. Raises OSError."""
        self._file = self.path.open("r+b", buffering=0)
        number = self._file.read(_HEARD.size)
        if len(number) == _HEARD.size:
            (self._noted,) = _HEARD.unpack(number)
        self._heard_to = self._noted

    def has_reported(self, end: int) -> bool:
        """Whether what is up to the position `end` was told by `unheard`."""
        return end <= self._told

    def hear(self, key: str, end: int, complete: int) -> None:
        """Note that all written under `key` up to the position `end` has come, and all under any up to `complete`."""
        self._heard[key] = max(end, self._heard.get(key, 0))
        self._heard_to = max(end, self._heard_to)
        if complete > self._noted:
            self._note(complete)

    def _note(self, complete: int) -> None:
        self._noted = complete
        self._heard = {key: end for key, end in self._heard.items() if end > complete}
        if self._file is not None:
            with suppress(OSError):  # the kernel waits for a while, and goes on
                self._file.seek(0)
                self._file.write(_HEARD.pack(complete))

    def unheard(self) -> Iterator[tuple[str, str]]:
        """Keys and texts that have not come, and now count as heard. The kernel is gone. Raises OSError."""
        if self._file is None:
            return
        self._file.seek(_HEARD.size)
        # The kernel's code can write into the file, and may have made it longer.
        chunks = _chunks(memoryview(self._file.read(2 * HALF_BYTES)))
        missing = chunks[0].start - self._heard_to if chunks else 0
        for position, key, text in chunks:
            self._told = position + len(text)
            rest = text[max(0, max(self._heard.get(key, 0), self._noted) - position) :]
            if rest:
                self._heard[key] = self._told
                if missing > 0:
                    yield key, f"\n[{missing:,} bytes are missing here: they could not be read in time]\n"
                    missing = 0
                yield key, str(rest, "utf-8", "replace")

    def settle(self) -> None:
        """Note that what `unheard` told is kept elsewhere now."""
        self._note(max(self._told, self._noted))

    def remove(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _chunks(content: memoryview) -> list[Chunk]:
    """All that is there, in the order in which it was written."""
    half = len(content) // 2
    halves = [_half(content[:half]), _half(content[half:])]
    # The newer half may be one that was just begun.
    first, second = sorted(halves, key=lambda chunks: chunks[0].position if chunks else -1)
    return first + second


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

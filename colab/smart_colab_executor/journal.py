"""The end of what a kernel printed, kept where it outlives the kernel: in a file that is mapped into its memory.

The kernel (here as `_smart_colab.journal`) writes a text down before it sends it; the executor, when the kernel is
gone, reads what has not come. Memory, and not `write`, which would let another thread run at every `print`. Standard
library alone.

The file has a number, up to where the executor has heard, then two halves, written in turn. A half is a row of chunks,
each a header, a key and text: what was written under one key in a row. A position counts the bytes of all chunks ever
written; a chunk's is that of its text. Where a half's chunks end, what follows is older: its position does not fit.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO

# More than a kernel writes before it is heard (see kernel_output).
HALF_BYTES = 8 * 1024 * 1024
_HEARD = struct.Struct("<Q")
_HEADER = struct.Struct("<QIH")  # the position; how long the text and the key are
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 8


class Journal:
    """The kernel's side. Not for several threads at once; a signal's exception leaves it whole wherever it strikes."""

    def __init__(self, path: str) -> None:
        """Map the file, which the executor has made. Raises OSError, ValueError."""
        with Path(path).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._half = (len(self._map) - _HEARD.size) // 2
        self._end = _HEARD.size + self._half
        self._key = b""
        # Where the chunk's length is, where its text is, and where it ends.
        self._length_at = self._text_at = self._at = _HEARD.size
        self._position = 0

    def add(self, key: bytes, text: bytes) -> int:
        """Write down a text of less than half a half; returns the position behind it."""
        end = self._at + len(text)
        if key != self._key or end > self._end:
            self._begin(key, len(text))
            end = self._at + len(text)
        self._map[self._at : end] = text
        # It counts from here on: what a sudden end tears has not been printed.
        _LENGTH.pack_into(self._map, self._length_at, end - self._text_at)
        self._at = end
        return self._position + end - self._text_at

    def heard(self) -> int:
        """The position up to which the executor has heard."""
        (position,) = _HEARD.unpack_from(self._map)
        return int(position)

    def _begin(self, key: bytes, size: int) -> None:
        length = _HEADER.size + len(key)
        # A signal may have torn the last writing down: only what is behind us counts.
        _LENGTH.pack_into(self._map, self._length_at, self._at - self._text_at)
        position = self._position + self._at - self._text_at + length
        header = _HEADER.pack(position, 0, len(key)) + key
        at, end = self._at, self._end
        if at + length + size > end:
            end = len(self._map) if end < len(self._map) else _HEARD.size + self._half
            at = end - self._half
        text_at = at + length
        self._map[at:text_at] = header
        self._key, self._position, self._end = key, position, end
        self._length_at, self._text_at, self._at = at + _LENGTH_AT, text_at, text_at


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
        # By key, then the furthest of all, also of keys that are forgotten.
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

    def hear(self, key: str, end: int) -> bool:
        """Note that all written under `key` up to the position `end` has come; False where `unheard` has told it."""
        if end <= self._told:
            return False
        self._heard[key] = max(end, self._heard.get(key, 0))
        if self._file is not None and end > self._heard_to:
            self._heard_to = end
            with suppress(OSError):  # the kernel waits for a while, and goes on
                self._file.seek(0)
                self._file.write(_HEARD.pack(end))
        return True

    def forget(self, keys: Iterable[str]) -> None:
        """Nobody is told what comes under these keys any more."""
        for key in keys:
            self._heard.pop(key, None)

    def unheard(self) -> Iterator[tuple[str, str]]:
        """Keys and texts that have not come, and now count as heard. The kernel is gone. Raises OSError."""
        if self._file is None:
            return
        self._file.seek(_HEARD.size)
        chunks = _chunks(memoryview(self._file.readall()))
        missing = chunks[0].start - self._heard_to if chunks else 0
        for position, key, text in chunks:
            self._told = position + len(text)
            rest = text[max(0, self._heard.get(key, 0) - position) :]
            if rest:
                self._heard[key] = self._told
                if missing > 0:
                    yield key, f"\n[{missing:,} bytes are missing here: the kernel died before they could be read]\n"
                    missing = 0
                yield key, str(rest, "utf-8", "replace")

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
        if not key_length or text_at + length > len(content) or (found and position != fitting + text_at - at):
            break
        at = text_at + length
        fitting = position + length
        key = str(content[text_at - key_length : text_at], "ascii", "replace")
        found.append(Chunk(position, key, content[text_at:at]))
    return found

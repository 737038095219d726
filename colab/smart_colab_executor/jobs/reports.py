"""The reports of a batch's iterations: a file that the kernel writes line by line and the executor reads."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader

FILE = "reports.jsonl"
BATCH_BYTES = 1024 * 1024

_parse = json.JSONDecoder().raw_decode


class Reports:
    """Reads a batch's reports, and counts those taken so far. Not thread-safe."""

    def __init__(self, folder: Path, taken: int = 0) -> None:
        """Start after the first `taken` reports, which an earlier executor has taken."""
        self.path = folder / FILE
        self.taken = 0
        self._to_pass = taken
        self._offset = 0
        self._file: BufferedReader | None = None

    def clear(self) -> None:
        """Empty the last batch's file, if there is one; its reports are stored elsewhere. Raises OSError."""
        self.close()  # it has read ahead
        with suppress(FileNotFoundError):
            os.truncate(self.path, 0)

    def create(self) -> None:
        """Create a batch's file, which the kernel appends to, or use the cleared one. Raises OSError."""
        self.path.touch()
        self.taken = self._to_pass = self._offset = 0
        # Kept open: code that deletes the file loses no report.
        self._file = self.path.open("rb")

    def read(self, count: int | None = None) -> list[bytes]:
        """Return some of the next reports, each a JSON object on a line: none beyond the first `count`.

        They are returned again until `take` is called. Raises OSError.
        """
        if self._file is None:
            if not self.path.exists():
                return []
            self._file = self.path.open("rb")
        self._file.seek(self._offset)
        while self._to_pass and (line := self._file.readline()):
            self._to_pass -= 1
            self.taken += 1
            self._offset += len(line)
        found: list[bytes] = []
        size = 0
        while size < BATCH_BYTES and (count is None or self.taken + len(found) < count):
            line = self._file.readline()
            if not line.endswith(b"\n"):
                break  # the end, or a line truncated by a full disk
            found.append(line)
            size += len(line)
        return found

    def take(self, lines: list[bytes]) -> None:
        """Advance past the lines from `read`, which are now stored elsewhere."""
        self.taken += len(lines)
        self._offset += sum(map(len, lines))

    def remove(self) -> None:
        """Remove the file; its reports are stored elsewhere. Raises OSError."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and leave it where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_break(line: bytes) -> bool:
    """Return whether a report is of an iteration that left the loop with `break`."""
    return line.partition(b',"iteration":')[0].endswith(b'"message":"break"')


def readable(line: bytes) -> bytes | None:
    """Return the report on a line, without its result if that cannot be parsed; None for anything else."""
    head, _, _ = line.partition(b',"result":')
    for text in (line, head + b',"result":null}'):
        with suppress(ValueError, RecursionError):
            decoded = text.decode().strip()
            report, end = _parse(decoded)
            if end == len(decoded) and isinstance(report, dict) and "completed" in report:
                return text
    return None

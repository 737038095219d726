"""The reports of a batch's iterations: a file that the kernel writes line by line, and the executor reads."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader

FILE = "reports.jsonl"
BATCH_BYTES = 1024 * 1024


class Reports:
    """What the executor has taken of a batch's reports, and what is still to be taken. In one thread at a time."""

    def __init__(self, folder: Path, taken: int = 0) -> None:
        """Begin behind the first `taken` reports, which an earlier executor has taken."""
        self.path = folder / FILE
        self.taken = 0
        self._to_pass = taken
        self._offset = 0
        self._file: BufferedReader | None = None

    def create(self) -> None:
        """Make the file of a batch, which the kernel appends to. Raises OSError."""
        self.path.touch()
        self.taken = self._to_pass = self._offset = 0
        # Open from now on: code that deletes the file loses no report.
        self._file = self.path.open("rb")

    def read(self, count: int | None = None) -> list[bytes]:
        """Some of the next reports, each an object of JSON on a line: none behind the first `count`.

        They come again until they are `take`n. Raises OSError.
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
                break  # the end, or what a full disk left of a line
            found.append(line)
            size += len(line)
        return found

    def take(self, lines: list[bytes]) -> None:
        """Pass over what `read` gave: it is kept elsewhere now."""
        self.taken += len(lines)
        self._offset += sum(map(len, lines))

    def remove(self) -> None:
        """Remove the file; all of it is kept elsewhere. Raises OSError."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and leave it where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_break(line: bytes) -> bool:
    """Whether a report is that of an iteration that broke out of the loop."""
    return line.partition(b',"iteration":')[0].endswith(b'"message":"break"')


def readable(line: bytes) -> bytes | None:
    """The report that a line holds: without its result where that cannot be read here, None where there is none."""
    head, _, _ = line.partition(b',"result":')
    for text in (line, head + b',"result":null}'):
        with suppress(ValueError, RecursionError):
            report = json.loads(text)
            if isinstance(report, dict) and "completed" in report:
                return text
    return None

"""`audit.jsonl`: the jobs that ended, the policy's decisions, the requests refused. No code, no output, no token."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.clock import now

log = logging.getLogger(__name__)

MAX_BYTES = 5 * 1024 * 1024
MAX_PATH_CHARS = 200
# Any client can be refused as often as it likes; that must not fill the disk.
REFUSAL_BURST = 100
REFUSALS_PER_SEC = 1.0


class Audit:
    """The current file and the previous one. Thread-safe; never raises."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / "audit.jsonl"
        self._older = folder / "audit.1.jsonl"
        self._clock = clock
        self._lock = threading.Lock()
        self._room = float(REFUSAL_BURST)
        self._looked = clock()
        self._left_out = 0
        self._is_failing = False

    def job(self, **fields: Any) -> None:
        """Record a job that ended."""
        with self._lock:
            self._write({"event": "job", **fields})

    def decided(self, **fields: Any) -> None:
        """Record what the policy decided about code."""
        with self._lock:
            self._write({"event": "policy", **fields})

    def refused(self, address: str, status: int, code: str, path: str) -> bool:
        """Record a refused request, unless refusals come too fast; return whether it was recorded."""
        with self._lock:
            time_now = self._clock()
            self._room = min(self._room + (time_now - self._looked) * REFUSALS_PER_SEC, REFUSAL_BURST)
            self._looked = time_now
            if self._room < 1:
                self._left_out += 1
                return False
            self._room -= 1
            path = path[:MAX_PATH_CHARS]
            self._write({"event": "refused", "address": address, "status": status, "code": code, "path": path})
            return True

    def _write(self, entry: dict[str, Any]) -> None:
        entries = [entry]
        if self._left_out:
            entries.insert(0, {"event": "refused_more", "count": self._left_out})
        # Only ASCII, so that no path can forge lines or move a terminal's cursor.
        lines = "".join(json.dumps({"at": now(), **entry}, separators=(",", ":")) + "\n" for entry in entries)
        try:
            self._append(lines.encode())
        except OSError as error:
            if not self._is_failing:
                log.warning("%s cannot be written: %s", self._path.name, error.strerror)
            self._is_failing = True
        else:
            self._is_failing = False
            self._left_out = 0

    def _append(self, lines: bytes) -> None:
        """Append all of `lines` or nothing. Raises OSError."""
        with suppress(FileNotFoundError):
            if self._path.stat().st_size + len(lines) > MAX_BYTES:
                self._path.replace(self._older)
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while lines:
                    lines = lines[file.write(lines) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), size)
                raise

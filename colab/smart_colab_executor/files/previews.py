"""Previews: what is in a file that is no text. Each is made by a process of its own, which a file can crash or fill."""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path
from typing import Any

import psutil

from ..core.errors import Busy, NoPreview, Occupied
from ..wire.files import FilePreview
from .content_root import ContentRoot, show
from .digests import etag_of
from .file_types import SNIFFED_BYTES, sniff
from .files import time_text
from .os_errors import translate_read_errors
from .preview.process import OUT_OF_MEMORY, READERS
from .preview.request import Request

MAX_ROWS = 1000
# With the start of the process and of its library, which a busy machine makes long.
MAX_SEC = 15.0
# Beyond what Python and the library of the file's kind take.
MAX_MEMORY_BYTES = 1024**3
# With those; looked at from outside, where the system keeps no such limit.
MAX_RESIDENT_BYTES = MAX_MEMORY_BYTES * 3 // 2
MAX_ANSWER_BYTES = 1024**2
MAX_AT_ONCE = 2
# Another preview waits so long for one of those to end.
SEAT_TIMEOUT_SEC = 10.0
WATCH_INTERVAL_SEC = 0.05
END_TIMEOUT_SEC = 2.0

PACKAGE = Path(__file__).parents[1]
# Isolated from the working folder and the environment; of the folder that holds this package nothing else is imported.
START = (
    f"import sys; sys.path.insert(0, sys.argv.pop(1)); import {PACKAGE.name}; del sys.path[0]; "
    f"from {PACKAGE.name}.files.preview.process import main; main()"
)
# What Python itself may need to start; no secret is among these.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LANG")
SETTINGS = {
    # As little memory as can be, and no plugins: HDF5 takes "::" for that.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "HDF5_PLUGIN_PRELOAD": "::",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
PART_HINT = "Run code that reads the part of it that you need, in a session of its own."
BROKEN_HINT = "It is damaged, or its writer has not finished: call again when it is whole."
HARM_HINT = "It is damaged or made to do harm: open it in a session of its own only, for it may end that too."


class Previews:
    """Shows files of `root`, a few at a time."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self._seats = threading.BoundedSemaphore(MAX_AT_ONCE)

    def make(self, path: str, rows: int | None) -> FilePreview:
        """Preview a file. Raises NoPreview where only others of its kind have one, and what reading raises."""
        file = self._root.locate(path)
        with translate_read_errors(file), self._root.open(file) as stream:
            status = os.fstat(stream.fileno())
            head = stream.read(SNIFFED_BYTES)
            reply: FilePreview = {
                "path": show(file),
                "size": status.st_size,
                "modified_at": time_text(status),
                "mime": sniff(head, file.name).mime,
                "text": None,
                "text_mime": None,
                "is_cut": False,
                "note": None,
                "missing_package": None,
            }
            # A name can say what the content is not.
            kind = sniff(head, "").mime
            if kind not in READERS:
                return reply
            user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
            request = Request(kind, str(self._root.check(file)), rows, MAX_MEMORY_BYTES, user_site)
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            try:
                found = self._ask(show(file), request, stream)
            except NoPreview as error:
                if etag_of(os.fstat(stream.fileno())) == etag_of(status):
                    raise
                raise Occupied(
                    f"{show(file)} changes while it is read.", "Call again when nothing writes it.", retryable=False
                ) from error
        reply.update(found)  # type: ignore[typeddict-item]
        return reply

    def _ask(self, shown: str, request: Request, stream: BufferedReader) -> dict[str, Any]:
        """Run the child. Raises Busy, NoPreview."""
        if not self._seats.acquire(timeout=SEAT_TIMEOUT_SEC):
            raise Busy("Other files are being previewed.", "Call again in some seconds.")
        try:
            answer, code = _run(request, stream)
        except _TooSlow:
            raise NoPreview(f"{shown} was not read within {MAX_SEC:.0f} s.", PART_HINT) from None
        except MemoryError:
            raise NoPreview(
                f"Reading {shown} takes more than {MAX_MEMORY_BYTES >> 20} MiB of memory.", PART_HINT
            ) from None
        except OSError as error:
            raise Busy(f"No process can be started to read {shown} ({error.strerror}).", "Call again later.") from error
        finally:
            self._seats.release()
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise NoPreview(f"Reading {shown} ended the process that read it ({_ending(code)}).", HARM_HINT) from None
        if "error" in found:
            name = READERS[request.kind].name
            raise NoPreview(f"{shown} cannot be read as {name}: {found['error']}.", BROKEN_HINT)
        return found


class _TooSlow(Exception):
    """A process did not end in time."""


def _run(request: Request, stream: BufferedReader) -> tuple[bytes, int]:
    """Return all that a new process answers, and its exit code. Raises _TooSlow, MemoryError, OSError."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | SETTINGS
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", START, str(PACKAGE.parent), json.dumps(asdict(request))],
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=PACKAGE.anchor,
        env=environment,
    )
    try:
        answer, code = _read(process), process.wait(END_TIMEOUT_SEC)
    except subprocess.TimeoutExpired:
        raise _TooSlow from None
    finally:
        process.kill()
        # A process that a drive does not answer lives on until it does.
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_SEC)
    if code == OUT_OF_MEMORY:
        raise MemoryError
    return answer, code


def _read(process: subprocess.Popen[bytes]) -> bytes:
    """Read to the end, while the process keeps within its limits. Raises _TooSlow, MemoryError."""
    found: list[bytes] = []

    def drain() -> None:
        if process.stdout is not None:
            with process.stdout as pipe:
                found.append(pipe.read(MAX_ANSWER_BYTES))

    deadline = time.monotonic() + MAX_SEC
    reader = threading.Thread(target=drain, name="preview", daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(WATCH_INTERVAL_SEC)
        if time.monotonic() > deadline:
            raise _TooSlow
        if _memory_of(process.pid) > MAX_RESIDENT_BYTES:
            raise MemoryError
    return b"".join(found)


def _memory_of(pid: int) -> int:
    """Size of what a process has in memory for itself alone; mapped files are shared."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))


def _ending(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"

"""The HTTP server: buffers and connections are bounded, and no client can keep the others out."""

from __future__ import annotations

import io
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask
from waitress import buffers
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher

from ..core.errors import DiskFull
from ..in_kernel.jsonline import dump
from ..wire import API_VERSION
from .problems import problem, status_of
from .replies import UNCOUNTED_BYTES

log = logging.getLogger(__name__)

# Below the limits of Windows' select() and of open files on most systems.
MAX_CONNECTIONS = 400
# Above this number a new connection replaces the one that has been idle longest.
EVICT_IDLE_FROM_CONNECTIONS = MAX_CONNECTIONS - 16
# One for each connection: a waiting request holds its thread, for a while even after its client has gone.
THREADS = MAX_CONNECTIONS
# A client that reads nothing of its reply for this long counts as idle.
STALL_TIMEOUT_SEC = 10.0
# Buffered for a slow reader in memory and temporary files; the rest stays in its source.
BUFFERED_REPLY_BYTES = UNCOUNTED_BYTES
# One thread receives for all connections; with waitress's 8 KiB an upload is five times slower.
RECEIVE_BUFFER_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
# Flask answers bodies over its own limit as API.md says; this only bounds what is buffered before that.
MAX_BUFFERED_BODY_BYTES = 16 * 1024 * 1024
# Memory for all large bodies and replies together: a few pieces of uploads. More go to temporary files.
MAX_KEPT_BYTES = 32 * 1024 * 1024
# Memory for all large bodies and replies together, when the disk has no space for temporary files.
MAX_SPILLED_BYTES = 256 * 1024 * 1024


class CannotListen(OSError):
    """The address or port is not available."""


@contextmanager
def serving(app: Flask, host: str, port: int, temporary: Path) -> Iterator[str]:
    """Serve, with temporary files in the folder `temporary`; yield the address. Raises CannotListen."""
    _Buffer.folder = temporary
    buffers.TempfileBasedBuffer = _Buffer
    try:
        server = _server(app, host, port)
    except OSError as error:
        raise CannotListen(*error.args) from error
    # A name with several addresses has a server for each.
    for part in getattr(server, "map", {0: server}).values():
        part.channel_class = _Channel
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    try:
        yield f"http://[{host}]:{server.effective_port}" if ":" in host else f"http://{host}:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=3)


def _server(app: Flask, host: str, port: int) -> Any:
    return create_server(
        app,
        host=host,
        port=port,
        _dispatcher=_Threads(),
        connection_limit=MAX_CONNECTIONS,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=MAX_BUFFERED_BODY_BYTES,
        outbuf_high_watermark=BUFFERED_REPLY_BYTES,
        recv_bytes=RECEIVE_BUFFER_BYTES,
        asyncore_use_poll=True,  # select() fails for descriptors from 1024 on
        ident=None,
        # The routes check the tunnel's headers themselves, and trust them only under some conditions.
        trusted_proxy=None,
        clear_untrusted_proxy_headers=False,
    )


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Threads for requests, started when all others have one."""

    def add_task(self, task: Any) -> None:
        with self.lock:
            is_busy = len(self.queue) >= len(self.threads) - self.active_count
            count = len(self.threads)
        if is_busy and count < THREADS and not self.stop_count:
            self.set_thread_count(count + 1)
        super().add_task(task)


class _NoRoom(OSError):
    """Neither the disk nor the memory has room for more buffered data."""


class _Spill(io.RawIOBase):
    """Memory while all of these hold little, then a temporary file, and memory again when the disk is full."""

    _held = 0
    _lock = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_memory = 0
        self._is_small = True
        self._file: Any = io.BytesIO()

    def write(self, data: Any) -> int:
        place = self._file.tell()
        if self._is_small and not self._hold(place + len(data), MAX_KEPT_BYTES):
            self._is_small = False
            self._to_disk(place)
        if not isinstance(self._file, io.BytesIO):
            try:
                _write_all(self._file, data)
            except OSError:
                self._to_memory(place)
            else:
                return len(data)
        if not self._is_small and not self._hold(place + len(data), MAX_SPILLED_BYTES):
            raise _NoRoom
        return int(self._file.write(data))

    def _to_disk(self, place: int) -> None:
        """Move the content up to `place` into a temporary file, unless the disk is full."""
        try:
            disk = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `close`
        except OSError:
            return
        try:
            _write_all(disk, self._file.getvalue()[:place])
        except OSError:
            disk.close()
            return
        self._file = disk
        self._release()

    def _to_memory(self, place: int) -> None:
        """Move the content up to `place` into memory."""
        if not self._hold(place, MAX_SPILLED_BYTES):
            raise _NoRoom
        disk, self._file = self._file, io.BytesIO()
        disk.seek(0)
        self._file.write(disk.read(place))
        disk.close()

    def _hold(self, size: int, most: int) -> bool:
        """Count `size` bytes in memory, if all of them together are at most `most` then."""
        with _Spill._lock:
            more = max(size - self._in_memory, 0)
            if _Spill._held + more > most:
                return False
            _Spill._held += more
            self._in_memory += more
        return True

    def _release(self) -> None:
        with _Spill._lock:
            _Spill._held -= self._in_memory
            self._in_memory = 0

    def read(self, size: int = -1) -> bytes:
        return bytes(self._file.read(size))

    def readinto(self, block: Any) -> int:
        return int(self._file.readinto(block))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._release()
        super().close()


def _write_all(file: Any, data: Any) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


class _Buffer(buffers.FileBasedBuffer):  # type: ignore[misc]
    """waitress's buffer, in the state folder: the system's folder for temporary files is shared and may be full."""

    folder = Path()

    def __init__(self, from_buffer: Any = None) -> None:
        super().__init__(self.newfile(), from_buffer)

    def newfile(self) -> _Spill:
        return _Spill(self.folder)


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def received(self, data: bytes) -> int:
        try:
            return int(super().received(data))
        except _NoRoom:
            self.error = _Refusal(DiskFull("The request's body could not be buffered.", "Free space on the disk."))
            self.connection_close = self.completed = True
            return len(data)


class _Refusal:
    """A reply that waitress sends in place of the app's."""

    def __init__(self, error: DiskFull) -> None:
        self._error = error

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        status = HTTPStatus(status_of(self._error))
        headers = [("Content-Type", "application/problem+json"), ("X-Smart-Colab-Api", str(API_VERSION))]
        return f"{status.value} {status.phrase}", headers, dump(problem(self._error))


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A new one always finds a place, unless all existing ones are busy."""

    parser_class = _Parser

    def __init__(self, server: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(server, *arguments, **options)
        others = [channel for channel in server.active_channels.values() if channel is not self]
        if len(others) >= EVICT_IDLE_FROM_CONNECTIONS:
            idle = [channel for channel in others if channel.is_idle]
            if idle:
                min(idle, key=lambda channel: channel.last_activity).will_close = True

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress on it."""
        stalled = time.time() - self.last_activity > STALL_TIMEOUT_SEC
        return not self.requests and not self.will_close and (stalled or not self.total_outbufs_len)

    def write_soon(self, data: Any) -> int:
        try:
            return int(super().write_soon(data))
        except _NoRoom:
            # Closed, rather than left waiting for data that never arrives.
            self.will_close = True
            raise ClientDisconnected from None

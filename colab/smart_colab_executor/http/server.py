"""The HTTP server: what is received and held for clients is bounded, and nobody keeps the others out."""

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

from ..core.errors import DiskFull
from ..in_kernel.jsonline import dump
from .problems import problem, status_of
from .replies import UNCOUNTED_BYTES

log = logging.getLogger(__name__)

# Below what Windows' select() takes, and what a process may have open on most systems.
MAX_CONNECTIONS = 400
# From so many on, a new one takes the place of the one that has been idle for longest.
CONNECTIONS_KEPT = MAX_CONNECTIONS - 16
# One for each: a request that waits holds its thread, also for a while after its client is gone.
THREADS = MAX_CONNECTIONS
# A client that takes nothing of its reply for so long counts as idle.
STALL_TIMEOUT_SEC = 10.0
# What is kept for a slow reader in memory and temporary files; the rest waits where it comes from.
BUFFERED_REPLY_BYTES = UNCOUNTED_BYTES
# At a time: one thread receives for all, and by 8 KiB, as it would, an upload is five times slower.
RECEIVE_BUFFER_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
# Flask answers bodies over its own limit as API.md says; this one only bounds what is buffered before.
MAX_BUFFERED_BODY_BYTES = 16 * 1024 * 1024
# What large bodies and replies may take in memory, all together, where there is no place for temporary files.
MAX_SPILLED_BYTES = 256 * 1024 * 1024


class CannotListen(OSError):
    """The address or the port cannot be had."""


@contextmanager
def serving(app: Flask, host: str, port: int, temporary: Path) -> Iterator[str]:
    """Serve, with temporary files in the folder `temporary`; yields the address. Raises CannotListen."""
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
        threads=THREADS,
        connection_limit=MAX_CONNECTIONS,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=MAX_BUFFERED_BODY_BYTES,
        outbuf_high_watermark=BUFFERED_REPLY_BYTES,
        recv_bytes=RECEIVE_BUFFER_BYTES,
        asyncore_use_poll=True,  # where there is poll(): select() fails at descriptors from 1024 on
        ident=None,
        # The routes look at the tunnel's headers themselves, and believe them on some conditions only.
        trusted_proxy=None,
        clear_untrusted_proxy_headers=False,
    )


class _NoRoom(OSError):
    """Neither the disk nor the memory takes more of what is buffered."""


class _Spill(io.RawIOBase):
    """A temporary file, which goes on in memory where the disk takes no more."""

    _held = 0
    _lock = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self._in_memory = 0
        self._file: Any
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `close`
        except OSError:
            self._file = io.BytesIO()

    def write(self, data: Any) -> int:
        place = self._file.tell()
        if not isinstance(self._file, io.BytesIO):
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._move(place)
            else:
                return len(data)
        self._hold(place + len(data))
        return int(self._file.write(data))

    def _move(self, place: int) -> None:
        """Take what is in the file up to `place` into memory."""
        self._hold(place)
        disk, self._file = self._file, io.BytesIO()
        disk.seek(0)
        self._file.write(disk.read(place))
        disk.close()

    def _hold(self, size: int) -> None:
        more = size - self._in_memory
        if more <= 0:
            return
        with _Spill._lock:
            if _Spill._held + more > MAX_SPILLED_BYTES:
                raise _NoRoom
            _Spill._held += more
        self._in_memory = size

    def readinto(self, block: Any) -> int:
        return int(self._file.readinto(block))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            with _Spill._lock:
                _Spill._held -= self._in_memory
        super().close()


class _Buffer(buffers.FileBasedBuffer):  # type: ignore[misc]
    """waitress's, in a folder of ours: the system's own for temporary files is anybody's, and may be full."""

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
    """What waitress answers in the app's place."""

    def __init__(self, error: DiskFull) -> None:
        self._error = error

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        status = HTTPStatus(status_of(self._error))
        headers = [("Content-Type", "application/problem+json"), ("X-Smart-Colab-Api", "1")]
        return f"{status.value} {status.phrase}", headers, dump(problem(self._error))


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A new one always finds a place, unless all that there are have work in hand."""

    parser_class = _Parser

    def __init__(self, server: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(server, *arguments, **options)
        others = [channel for channel in server.active_channels.values() if channel is not self]
        if len(others) >= CONNECTIONS_KEPT:
            idle = [channel for channel in others if channel.is_idle]
            if idle:
                min(idle, key=lambda channel: channel.last_activity).will_close = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is done for it."""
        stalled = time.time() - self.last_activity > STALL_TIMEOUT_SEC
        return not self.requests and not self.will_close and (stalled or not self.total_outbufs_len)

    def write_soon(self, data: Any) -> int:
        try:
            return int(super().write_soon(data))
        except _NoRoom:
            # Cut rather than left waiting for what does not come.
            self.will_close = True
            raise ClientDisconnected from None

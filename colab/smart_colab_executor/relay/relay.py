"""Carry HTTP between a bridge and an executor through a kernel's control channel. See API.md.

The bridge sends this file's text to a kernel of its own on a Jupyter server, as
`exec(TEXT, {"__name__": "_smart_colab_relay"})`, again whenever it connects. It needs the standard library and the
ipykernel that runs it, and no newer Python than 3.8.
"""

from __future__ import annotations

import base64
import errno
import getpass
import hashlib
import http.client
import io
import json
import os
import platform
import re
import shutil
import socket
import stat
import sys
import tarfile
import tempfile
import threading
import time
import types
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

RELAY = 1
NAME = "_smart_colab_relay"
MAX_PIECE_BYTES = 3 * 1024 * 1024
MAX_PACKAGE_BYTES = 64 * 1024 * 1024
MAX_UPLOAD_BYTES = 16 * 1024 * 1024
MAX_REQUESTS = 32
IDLE_TIMEOUT_SEC = 60.0
MIN_PYTHON = "3.11"
SHA256 = re.compile(r"[0-9a-f]{64}")
# Set here for the connection to the executor.
OWN_HEADERS = ("authorization", "connection", "content-length", "host", "transfer-encoding")


class Refused(Exception):
    """A reply with the status `error`."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.content = {"status": "error", "code": code, "detail": detail, **more}


class Pieces:
    """Bytes that arrive in pieces, some perhaps twice."""

    def __init__(self, limit: int) -> None:
        self.held = bytearray()
        self.used = time.monotonic()
        self._limit = limit

    def add(self, offset: int, data: bytes) -> int:
        """Return how many bytes are held. Raises Refused."""
        known = self.held[offset : offset + len(data)]
        if not 0 <= offset <= len(self.held) or known != data[: len(known)]:
            raise Refused("out_of_order", f"The next byte is {len(self.held)}.", received=len(self.held))
        if offset + len(data) > self._limit:
            raise Refused("invalid", f"This is more than {self._limit} bytes.")
        self.held, self.used = self.held + data[len(known) :], time.monotonic()
        return len(self.held)

    def close(self) -> None:
        """Nothing is open."""


class Stream:
    """A reply's body, read in pieces."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.used = time.monotonic()
        self.reply: http.client.HTTPResponse
        self._connection = connection
        self._lock = threading.Lock()

    def read(self) -> tuple[bytes, bool]:
        """Return the next piece, and whether it is the last one. Raises OSError, HTTPException."""
        with self._lock:
            self.used = time.monotonic()
            body = self.reply.read(MAX_PIECE_BYTES)
            self.used = time.monotonic()
            if not body and self.reply.length:
                raise http.client.IncompleteRead(body, self.reply.length)
            is_end = self.reply.isclosed()
            if is_end:
                self._connection.close()
            return body, is_end

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Relay:
    """Answers the bridge's messages; `held` outlives it when it is installed again."""

    def __init__(self, kernel: Any, held: types.SimpleNamespace) -> None:
        self._kernel = kernel
        self._held = held
        # Before ipykernel 6 the loop of the shell reads the control channel, and nothing else runs in this kernel.
        self._loop = getattr(getattr(kernel, "control_thread", None), "io_loop", None) or kernel.io_loop

    def install(self) -> None:
        """Answer the messages of API.md from now on."""
        for answer in (self.hello, self.package, self.start, self.http, self.read, self.upload, self.close):
            name = f"sc_{answer.__name__}_"
            self._kernel.control_handlers[name + "request"] = self._handler(name + "reply", answer)

    def _handler(self, reply_type: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., None]:
        def handle(stream: Any, idents: Any, parent: dict[str, Any]) -> None:
            def send(content: dict[str, Any]) -> None:
                self._kernel.session.send(stream, reply_type, content, parent, ident=idents)

            def work() -> None:
                with self._held.seats:
                    content = _answered(answer, parent["content"])
                with suppress(RuntimeError):  # the loop is closed
                    # Its thread alone may use the socket.
                    self._loop.add_callback(send, content)

            try:
                # Not in a pool: its threads would keep the kernel from ending.
                threading.Thread(target=work, name="smart-colab", daemon=True).start()
            except RuntimeError as error:
                send(_error("failed", error))

        return handle

    def hello(self, content: dict[str, Any]) -> dict[str, Any]:
        """Report what is here."""
        packages = cache_folder() / "packages"
        complete = [path.name for path in packages.glob("*") if SHA256.fullmatch(path.name) and is_complete(path)]
        python = platform.python_version()
        return {"relay": RELAY, "python": python, "root": self._held.root, "packages": sorted(complete)}

    def package(self, content: dict[str, Any]) -> dict[str, Any]:
        """Take a piece of a package; unpack it after the last one."""
        digest, size = _digest(content), int(content["size"])
        folder = cache_folder() / "packages" / digest
        if is_complete(folder):
            return {"received": size}
        received = self._add("packages", digest, MAX_PACKAGE_BYTES, content)
        if received >= size:
            pieces = self._held.packages.pop(digest, None)
            if pieces is None:
                raise Refused("out_of_order", "Another request completed this package.", received=0)
            if received > size or hashlib.sha256(pieces.held).hexdigest() != digest:
                raise Refused("damaged", "The package's size or SHA-256 is another one.", received=0)
            unpack(bytes(pieces.held), folder)
        return {"received": received}

    def start(self, content: dict[str, Any]) -> dict[str, Any]:
        """Start the executor of a package, or find the one of this server."""
        cache, digest = cache_folder(), _digest(content)
        package = cache / "packages" / digest
        if not is_complete(package):
            raise Refused("no_package", f"Package {digest} is not here.")
        if sys.version_info < tuple(map(int, MIN_PYTHON.split("."))):
            raise Refused("unsupported", f"This is Python {platform.python_version()}, older than {MIN_PYTHON}.")
        path = package / "smart_colab_executor" / "relay" / "starter.py"
        starter: dict[str, Any] = {"__name__": NAME}
        exec(compile(path.read_text("utf-8"), str(path), "exec"), starter)  # noqa: S102
        with self._held.starting:
            try:
                found = starter["start"](package, cache, self._held.root, content.get("api"))
            except starter["StartFailed"] as error:
                raise Refused(error.code, str(error)) from error
            self._held.executor = found["port"], found.pop("token")
        return dict(found)

    def http(self, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request to the executor; answer its reply with the first piece of the body."""
        if self._held.executor is None:
            raise Refused("no_executor", "No executor was started through this kernel.")
        port, token = self._held.executor
        body = self._body(content)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=float(content.get("timeout_sec", 60)))
        try:
            connection.connect()
        except OSError as error:
            raise Refused("no_executor", f"Nothing listens at port {port}: {error}") from error
        stream = Stream(connection)
        with _closed_on_error(stream):
            connection.putrequest(str(content["method"]), str(content["path"]), skip_accept_encoding=True)
            for name, value in content.get("headers", ()):
                if name.lower() not in OWN_HEADERS:
                    connection.putheader(name, value)
            connection.putheader("Authorization", f"Bearer {token}")
            connection.putheader("Connection", "close")
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = stream.reply = connection.getresponse()
            first, is_end = stream.read()
        headers = [pair for pair in reply.getheaders() if pair[0].lower() not in ("connection", "transfer-encoding")]
        described = {"status": reply.status, "headers": headers, "body": _text(first), "stream": None}
        if not is_end:
            described["stream"] = str(uuid.uuid4())
            self._held.streams[described["stream"]] = stream
            self._drop_idle_later()
        return {"response": described}

    def _body(self, content: dict[str, Any]) -> bytes | None:
        upload = content.get("upload")
        if upload is None:
            return None if content.get("body") is None else _bytes(content, "body")
        pieces = self._held.uploads.pop(str(upload), None)
        if pieces is None:
            raise Refused("no_upload", f"There is no upload {upload}.")
        return bytes(pieces.held)

    def read(self, content: dict[str, Any]) -> dict[str, Any]:
        """Read the next piece of a reply's body."""
        name = str(content.get("stream"))
        stream = self._held.streams.get(name)
        if stream is None:
            raise Refused("no_stream", f"There is no stream {name}.")
        is_end = True
        try:
            with _closed_on_error(stream):
                body, is_end = stream.read()
        finally:
            if is_end:
                self._held.streams.pop(name, None)
        return {"body": _text(body), "end": is_end}

    def upload(self, content: dict[str, Any]) -> dict[str, Any]:
        """Take a piece of the body of a request that follows."""
        return {"received": self._add("uploads", str(content["upload"]), MAX_UPLOAD_BYTES, content)}

    def close(self, content: dict[str, Any]) -> dict[str, Any]:
        """Drop what is left of a reply's body."""
        stream = self._held.streams.pop(str(content.get("stream")), None)
        if stream is not None:
            stream.close()
        return {}

    def _add(self, kind: str, name: str, limit: int, content: dict[str, Any]) -> int:
        offset, data = int(content["offset"]), _bytes(content, "data")
        with self._held.lock:
            received: int = getattr(self._held, kind).setdefault(name, Pieces(limit)).add(offset, data)
        self._drop_idle_later()
        return received

    def _drop_idle_later(self) -> None:
        if not self._held.is_watched:
            self._held.is_watched = True
            self._loop.add_callback(self._loop.call_later, IDLE_TIMEOUT_SEC / 4, self._drop_idle)

    def _drop_idle(self) -> None:
        kinds = (self._held.streams, self._held.uploads, self._held.packages)
        self._held.is_watched = False
        oldest = time.monotonic() - IDLE_TIMEOUT_SEC
        for kind in kinds:
            for name, kept in list(kind.items()):
                if kept.used < oldest:
                    kind.pop(name, None)
                    kept.close()
        if any(kinds):
            self._drop_idle_later()


def cache_folder() -> Path:
    """Return a folder of this user's alone. Raises OSError."""
    try:
        return _private((Path.home() / ".cache" / "smart-colab").resolve())
    except (OSError, RuntimeError):
        # Not every user of a container has a name.
        return _private(Path(tempfile.gettempdir()) / f"smart-colab-{getattr(os, 'getuid', getpass.getuser)()}")


def _private(folder: Path) -> Path:
    """Make a folder this user's alone, and return it. Raises OSError if that or writing in it is not possible."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
        folder.chmod(0o700)
    tempfile.TemporaryFile(dir=folder).close()
    return folder


def unpack(packed: bytes, folder: Path) -> None:
    """Unpack a package and its wheels as a whole or not at all. Raises OSError, and others if it is no package."""
    folder.parent.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            for member in archive:
                if member.isfile():
                    _write(partial / member.name, archive.extractfile(member).read())  # type: ignore[union-attr]
        for wheel in sorted((partial / "wheels").glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    # Neither what is compiled for one system, nor what would count as installed for the user's code.
                    if not name.endswith(("/", ".pyd", ".so")) and ".dist-info/" not in name:
                        _write(partial / "site" / name, archive.read(name))
        files = [path for path in partial.rglob("*") if path.is_file()]
        listed = {path.relative_to(partial).as_posix(): path.stat().st_size for path in files}
        (partial / "complete").write_text(json.dumps(listed), "utf-8")
        if not is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            partial.rename(folder)
        except OSError:
            if not is_complete(folder):  # another helper was not faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def is_complete(folder: Path) -> bool:
    """Return whether all of a package is there: caches and temporary folders are cleaned up by others."""
    try:
        files = json.loads((folder / "complete").read_text("utf-8"))
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError):
        return False


def _answered(answer: Callable[[dict[str, Any]], dict[str, Any]], content: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"status": "ok", **answer(content)}
    except Refused as refused:
        return refused.content
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return _error("invalid", error)
    except Exception as error:
        is_denied = isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS
        return _error("unsupported" if is_denied else "failed", error)


def _error(code: str, error: Exception) -> dict[str, Any]:
    return {"status": "error", "code": code, "detail": f"{type(error).__name__}: {error}"}


@contextmanager
def _closed_on_error(stream: Stream) -> Iterator[None]:
    """Close the stream at an exception; raise Refused for one of the connection."""
    try:
        yield
    except BaseException as error:
        stream.close()
        if isinstance(error, socket.timeout):
            raise Refused("timeout", "The executor did not answer in time.") from error
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise Refused("broken", f"The connection to the executor broke: {error!r}") from error
        raise


def _digest(content: dict[str, Any]) -> str:
    if not SHA256.fullmatch(content["sha256"]):
        raise Refused("invalid", "sha256 is not 64 hexadecimal digits.")
    return str(content["sha256"])


def _bytes(content: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(content[name], validate=True)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def main() -> None:
    """Install the relay in this kernel; keep what an earlier one of the same protocol holds."""
    held = getattr(sys.modules.get(NAME), "held", None)
    if held is None or held.relay != RELAY:
        held = types.SimpleNamespace(relay=RELAY, root=str(Path.cwd()), executor=None, is_watched=False)
        held.streams, held.uploads, held.packages = {}, {}, {}
        held.lock, held.starting = threading.Lock(), threading.Lock()
        held.seats = threading.BoundedSemaphore(MAX_REQUESTS)
    Relay(get_ipython().kernel, held).install()
    module = types.ModuleType(NAME)
    module.held = held  # type: ignore[attr-defined]
    sys.modules[NAME] = module


if __name__ == NAME:
    from IPython import get_ipython

    main()

"""A real Jupyter server or Kernel Gateway, and a client of its kernels' control channels."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import urllib.request
import uuid
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import PACKAGE_PARENT, PATIENCE, wait_until
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

TOKEN = "a-token-of-the-server"
RELAY = (PACKAGE_PARENT / "smart_colab_executor" / "relay" / "relay.py").read_text("utf-8")
SERVERS = {
    "jupyter_server": ["-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.port_retries=0"],
    "kernel_gateway": ["-m", "kernel_gateway", "--KernelGatewayApp.port_retries=0"],
}


def package() -> bytes:
    """Pack what the bridge sends."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for folder in ("smart_colab_executor", "wheels"):
            for file in sorted((PACKAGE_PARENT / folder).rglob("*")):
                if file.suffix in (".py", ".txt", ".whl"):
                    archive.add(file, file.relative_to(PACKAGE_PARENT).as_posix())
    return packed.getvalue()


def bare_python(folder: Path) -> Path:
    """Create a Python that has ipykernel and what that requires, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)], check=True)
    place = next(folder.glob("lib/python*/site-packages"))
    wanted, found = ["ipykernel"], set()
    while wanted:
        name = wanted.pop()
        with suppress(metadata.PackageNotFoundError):  # of another system
            distribution = metadata.distribution(name)
            if distribution.name.lower() in found:
                continue
            found.add(distribution.name.lower())
            wanted += [re.split(r"[^\w.-]", line)[0] for line in distribution.requires or () if "extra ==" not in line]
            for top in {
                path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")
            }:
                if not (place / top).exists():
                    (place / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


class Server:
    """A Jupyter server of its own home and root under `folder`, whose kernels run on `python`."""

    def __init__(self, kind: str, folder: Path, python: Path) -> None:
        self.root, self.home, self.log = folder / "root", folder / "home", folder / "server.log"
        spec = folder / "jupyter" / "kernels" / "python3"
        for path in (self.root, self.home, spec):
            path.mkdir(parents=True)
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "bare", "language": "python"}))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        ours = ("SMART_COLAB", "PYTEST_", "JUPYTER", "ALLOWED_IPS")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {"HOME": str(self.home), "JUPYTER_PATH": str(folder / "jupyter"), "JUPYTER_TOKEN": TOKEN}
        environment |= {"KG_AUTH_TOKEN": TOKEN, "IPYTHONDIR": str(self.home / "ipython")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *SERVERS[kind], f"--port={port}"],
                cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.request("GET", "/api/kernelspecs")
        except OSError:
            return False
        return True

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()

    def request(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return json.loads(reply.read() or "null")

    def helper(self) -> Helper:
        """Start a kernel with the relay in it."""
        return Helper(self, self.request("POST", "/api/kernels", {"name": "python3"})["id"])


class Helper:
    """A kernel with the relay, and a connection to its channels."""

    def __init__(self, server: Server, kernel: str) -> None:
        self.server, self.kernel = server, kernel
        self.replies: list[str] = []
        self.answered: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._session = uuid.uuid4().hex
        self._socket = self._loop.run_until_complete(self._connect())
        self.install()

    async def _connect(self) -> WebSocketClientConnection:
        url = f"{self.server.url}/api/kernels/{self.kernel}/channels?session_id={self._session}"
        request = HTTPRequest(
            url.replace("http", "ws", 1),
            headers={"Authorization": f"token {TOKEN}"},
            connect_timeout=PATIENCE,
            request_timeout=PATIENCE,
        )
        return await websocket_connect(request)

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        self._socket.close()
        await asyncio.sleep(0)

    def execute(self, code: str, **fields: Any) -> dict[str, Any]:
        content = {"code": code, "silent": True, "store_history": False, "allow_stdin": False, **fields}
        return self.wait(self.send("shell", "execute", content), "execute_reply")

    def install(self) -> None:
        reply = self.execute(f'exec({json.dumps(RELAY)}, {{"__name__": "_smart_colab_relay"}})')
        assert reply["status"] == "ok", reply

    def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        """Send a request; return its id."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": f"{kind}_request", "username": "", "session": self._session}
        message = {"channel": channel, "header": {**header, "version": "5.3", "date": ""}, "parent_header": {}}
        text = json.dumps({**message, "metadata": {}, "content": content, "buffers": []})
        self._loop.run_until_complete(self._write(text))
        return header["msg_id"]

    async def _read(self) -> str | bytes | None:
        return await asyncio.wait_for(self._socket.read_message(), PATIENCE)

    async def _write(self, text: str) -> None:
        await self._socket.write_message(text)

    def wait(self, message_id: str, kind: str) -> dict[str, Any]:
        """Return the content of the reply to a request."""
        while True:
            text = self._loop.run_until_complete(self._read())
            assert isinstance(text, str), "the connection was closed"
            message = json.loads(text)
            if message["channel"] == "control" and message["msg_type"].endswith("_reply"):
                self.answered.append(message["parent_header"]["msg_id"])
            if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == kind:
                self.replies.append(text)
                content: dict[str, Any] = message["content"]
                return content

    def ask(self, kind: str, **content: Any) -> dict[str, Any]:
        return self.wait(self.send("control", f"sc_{kind}", content), f"sc_{kind}_reply")

    def got(self, kind: str, **content: Any) -> dict[str, Any]:
        reply = self.ask(kind, **content)
        assert reply.pop("status") == "ok", reply
        return reply

    def refused(self, kind: str, **content: Any) -> str:
        reply = self.ask(kind, **content)
        assert reply["status"] == "error", reply
        return str(reply["code"])

    def give(self, packed: bytes) -> str:
        """Send a package; return its SHA-256."""
        digest = hashlib.sha256(packed).hexdigest()
        assert self.piece(digest, packed, 0, packed)["received"] == len(packed)
        return digest

    def piece(self, digest: str, whole: bytes, offset: int, data: bytes) -> dict[str, Any]:
        fields = {"sha256": digest, "size": len(whole), "offset": offset, "data": base64.b64encode(data).decode()}
        return self.ask("package", **fields)

    def http(self, method: str, path: str, body: object = None, **fields: Any) -> tuple[int, bytes]:
        """Send a request to the executor; return the status and the whole body."""
        if body is not None:
            fields["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        request = {"method": method, "path": path, "headers": [["X-Request-Id", "mine"]], "timeout_sec": PATIENCE}
        response = self.got("http", **request, **fields)["response"]
        assert ["X-Request-Id", "mine"] in response["headers"]
        pieces, is_end = [response["body"]], response["stream"] is None
        while not is_end:
            reply = self.got("read", stream=response["stream"])
            is_end = reply["end"]
            pieces.append(reply["body"])
        return response["status"], b"".join(map(base64.b64decode, pieces))

    def json(self, method: str, path: str, body: object = None) -> Any:
        status, content = self.http(method, path, body)
        assert status in (200, 201), content
        return json.loads(content)

    def submit(self, code: str, session: str = "main") -> str:
        job = str(uuid.uuid4())
        self.json("PUT", f"/jobs/{job}", {"code": code, "session": session})
        return job

    def log(self, job: str) -> bytes:
        """Wait for the end of a job; return what it printed."""
        wait_until(lambda: self.json("GET", f"/jobs/{job}")["job"]["state"] not in ("queued", "running"))
        return self.http("GET", f"/jobs/{job}/log")[1]

    def run(self, code: str, session: str = "main") -> bytes:
        return self.log(self.submit(code, session))

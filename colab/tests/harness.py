"""A real executor in its own process, and a client for it."""

from __future__ import annotations

import gzip
import http.client
import ipaddress
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PACKAGE_PARENT = Path(__file__).parent.parent
TOKEN = "a-token-for-tests"
PATIENCE = 40.0


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        plain = gzip.decompress(self.body) if self.headers["Content-Encoding"] == "gzip" else self.body
        return json.loads(plain)


@dataclass
class Finished:
    """A finished job with all its events."""

    job: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def state(self) -> str:
        return str(self.job["state"])

    @property
    def reason(self) -> str | None:
        return self.job["reason"]  # type: ignore[no-any-return]

    @property
    def stdout(self) -> str:
        return "".join(event["text"] for event in self.of("stream") if event["name"] == "stdout")

    @property
    def streams(self) -> dict[str, str]:
        """The text of each stream."""
        texts = {"stdout": "", "stderr": ""}
        for event in self.of("stream"):
            texts[event["name"]] += event["text"]
        return texts

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


_strangers = itertools.count(1)


def stranger() -> str:
    """Return a new address, since wrong tokens are counted per address."""
    return str(ipaddress.ip_address("10.0.0.0") + next(_strangers))


class Executor:
    """`python -m smart_colab_executor` under `root`, on a free port."""

    def __init__(self, root: Path, *arguments: str, token: str | None = TOKEN, **popen: Any) -> None:
        # ipykernel does not watch file descriptors if it detects pytest.
        ours = ("SMART_COLAB", "PYTEST_", "ALLOWED_IPS")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {"PYTHONPATH": str(PACKAGE_PARENT), **popen.pop("env", {})}
        if token is not None:
            environment["SMART_COLAB_TOKEN"] = token
        self.root = root
        self.log = root / "executor.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "smart_colab_executor", "--port", "0", "--root", str(root), *arguments],
                stdout=subprocess.PIPE,
                stderr=popen.pop("stderr", log),
                stdin=popen.pop("stdin", subprocess.DEVNULL),
                env=environment,
                **popen,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.ready = json.loads(line)
        self.token = self.ready.get("token", token)

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "",
        source: str | None = None,
        **headers: str,
    ) -> Reply:
        """Send one request; `token=None` sends none. Header names have `_` for `-`. `source`: the sender's address."""
        secret = self.token if token == "" else token
        host, port = self.ready["url"].removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(
            host, int(port), timeout=PATIENCE, source_address=(source, 0) if source else None
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if secret is not None:
            sent["Authorization"] = f"Bearer {secret}"
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, raw, sent)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        reply = self.call("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    def post(self, path: str, body: object = None) -> Any:
        reply = self.call("POST", path, body)
        assert reply.status in (200, 202), reply.body
        return reply.json

    def submit(self, code: str, **fields: Any) -> str:
        """Start a job; return its id."""
        job_id = str(uuid.uuid4())
        reply = self.call("PUT", f"/jobs/{job_id}", {"code": code, **fields})
        assert reply.status == 201, reply.body
        return job_id

    def follow(self, job_id: str, after: int = 0) -> Finished:
        """Read a job's events to its end."""
        events: list[dict[str, Any]] = []
        while True:
            page = self.get(f"/jobs/{job_id}/events?after={after}&wait=25&linger=0.5&max_bytes=4194304")
            events += page["events"]
            after = page["next"]
            if page["job"]["state"] not in ("queued", "running") and not page["more"]:
                return Finished(page["job"], events)

    def follow_once(self, job_id: str) -> list[dict[str, Any]]:
        """Return the events so far, up to 4 MiB."""
        page = self.get(f"/jobs/{job_id}/events?max_bytes=4194304")
        return page["events"]  # type: ignore[no-any-return]

    def run(self, code: str, **fields: Any) -> Finished:
        return self.follow(self.submit(code, **fields))

    def wait_for_output(self, job_id: str, text: str) -> None:
        """Wait until a job has printed `text`."""
        wait_until(lambda: text.encode() in self.call("GET", f"/jobs/{job_id}/log").body)

    def session(self, name: str = "main") -> dict[str, Any]:
        found = [session for session in self.get("/sessions")["sessions"] if session["name"] == name]
        return found[0]  # type: ignore[no-any-return]

    def kernels(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        # On Linux they are forked from one of these.
        servers = [child for child in children if any("fork_server" in part for part in child.cmdline())]
        return [child for child in children if child not in servers] + [
            kernel for server in servers for kernel in server.children()
        ]


def wait_until(condition: Any, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)

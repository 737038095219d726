"""A build under test: the executor and the bridge of one checkout, in a home of their own."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Self

TOKEN = "token-of-the-tasks-bench-0123456789"  # noqa: S105
EXECUTOR = (sys.executable, "-m", "smart_colab_executor", "--exit-with-stdin", "--port", "0")
START_TIMEOUT = 60.0
END_TIMEOUT = 20.0
# Beyond the call budget, for a busy machine.
ANSWER_SLACK = 60.0


class Side:
    """A running executor with a bridge that is connected to it; a context manager."""

    def __init__(self, checkout: Path, client: str, budget: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smart-colab-tasks-"))
        # Where code runs, and where downloads go.
        self.root = self.folder / "root"
        self.saved = self.folder / "saved"
        for folder in (self.root, self.saved, self.folder / "home"):
            folder.mkdir()
        self.budget = budget
        self._checkout = checkout
        self._client = client
        self._last_id = 0
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        self._executor = self._spawn(
            [*EXECUTOR, "--root", str(self.root), "--state", str(self.folder / "state")],
            {
                "PYTHONPATH": str(self._checkout / "colab"),
                "IPYTHONDIR": str(self.folder / "ipython"),
                "SMART_COLAB_TOKEN": TOKEN,
            },
        )
        ready = pipe(self._executor.stdout).readline()
        if not ready:
            raise RuntimeError(f"the executor of {self._checkout} did not start: see {self.folder / 'stderr'}")
        binary = self._checkout / "target" / "debug" / ("smart-colab.exe" if os.name == "nt" else "smart-colab")
        self._bridge = self._spawn(
            [str(binary)],
            {
                "COLAB_URL": f"{json.loads(ready)['url']}#{TOKEN}",
                "LOCAL_SAVE_DIR": str(self.saved),
                "CHECKPOINT_DIR": str(self.folder / "checkpoints"),
                "SMART_COLAB_DATA_DIR": str(self.folder / "data"),
                "SMART_COLAB_CALL_BUDGET_SEC": f"{self.budget:.0f}",
            },
        )
        threading.Thread(target=self._read, daemon=True).start()
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
        self.request("initialize", {**hello, "clientInfo": {"name": self._client, "version": "1"}})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._bridge, self._executor):
            pipe(process.stdin).close()
            try:
                process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its result, skipping notifications."""
        self._last_id += 1
        self._send({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        while True:
            line = self._lines.get(timeout=max(START_TIMEOUT, self.budget + ANSWER_SLACK))
            message: dict[str, Any] = json.loads(line) if line else {"id": self._last_id, "error": "the bridge ended"}
            if message.get("id") == self._last_id:
                if "error" in message:
                    raise RuntimeError(f"{method} {params}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Call a tool."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def _send(self, message: dict[str, Any]) -> None:
        stdin = pipe(self._bridge.stdin)
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()

    def _read(self) -> None:
        for line in pipe(self._bridge.stdout):
            self._lines.put(line)
        self._lines.put("")

    def _spawn(self, command: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if "COLAB" not in name}
        home = str(self.folder / "home")
        names = ("HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        with (self.folder / "stderr").open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=inherited | dict.fromkeys(names, home) | variables,
                cwd=self.folder,
                encoding="utf-8",
            )


def pipe(stream: IO[str] | None) -> IO[str]:
    """Return a process's pipe, which it has."""
    if stream is None:
        raise ValueError("the process has no such pipe")
    return stream

"""The session by MCP's own SDKs, each in a small program beside this file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from home import Failure, Home
from packages import NotInstalled, npm, pip
from session import Call, Result, Session, of_blocks

HERE = Path(__file__).parent
NEWEST = "2026-07-28"
END_TIMEOUT = 60.0


def python(package: str, script: str, *mode: str) -> Callable[[Home], None]:
    """Return the session by a version of the Python SDK."""

    def play(home: Home) -> None:
        _play(home, [str(pip(package)), str(HERE / script), home.program, *mode])

    return play


def typescript(package: str, script: str, *mode: str) -> Callable[[Home], None]:
    """Return the session by a version of the TypeScript SDK."""

    def play(home: Home) -> None:
        node = shutil.which("node")
        if not node:
            raise NotInstalled("there is no node")
        # A module finds packages beside itself only.
        beside = shutil.copy(HERE / script, npm(package))
        _play(home, [node, str(beside), home.program, *mode])

    return play


def _play(home: Home, command: list[str]) -> None:
    session = Session()
    log = home.folder / "stderr"
    with log.open("w") as stderr:
        client = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=home.environment,
            cwd=home.folder,
            encoding="utf-8",
        )
        results: list[Result] = []
        while (call := session.next(results)) and (result := _ask(client, call)):
            results.append(result)
        try:
            client.communicate(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            client.kill()
            client.wait()
    if session.fault or not session.is_complete or client.returncode != 0:
        said = log.read_text(errors="replace")[-1_000:]
        raise Failure(session.fault or f"exit code {client.returncode} after step {session.checked}: {said}")


def _ask(client: subprocess.Popen[str], call: Call) -> Result | None:
    """Return the result of a call, or None if the client has ended."""
    try:
        print(json.dumps(call._asdict()), file=_pipe(client.stdin), flush=True)
    except BrokenPipeError:
        return None
    line = _pipe(client.stdout).readline()
    return of_blocks(json.loads(line)["content"]) if line else None


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process has no such pipe")
    return stream

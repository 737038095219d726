"""The live log under the notebook's start cell: running code and its output."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

JOBS = 50
EVENTS = 100
LINES = 20
FINAL = ("succeeded", "failed", "interrupted", "timed_out", "lost")

# The executor is on this machine: ignore proxies of the environment.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request(address: str, token: str, path: str, method: str = "GET") -> dict[str, Any]:
    """Send a request to the server on this machine; an empty reply is an empty object."""
    asked = urllib.request.Request(address + path, method=method, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    with _opener.open(asked, timeout=10) as reply:
        answer: dict[str, Any] = json.loads(reply.read() or b"{}")
    return answer


@dataclass
class _Shown:
    """A job's position in the live log."""

    state: str = ""
    cursor: int = 0
    done: bool = False


class LiveLog:
    """Prints news since the last call; jobs that ended before the first call are not shown."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token
        self._jobs: dict[str, _Shown] | None = None

    def show_news(self) -> None:
        """Print the news once. After a failure the next call catches up."""
        try:
            jobs = self._get(f"/jobs?limit={JOBS}")["jobs"]
            if self._jobs is None:
                self._jobs = {job["id"]: _Shown(done=True) for job in jobs if job["state"] in FINAL}
            for job in reversed(jobs):
                self._show(job, self._jobs.setdefault(job["id"], _Shown()))
        except (OSError, http.client.HTTPException):
            pass

    def _get(self, path: str) -> dict[str, Any]:
        return request(self._address, self._token, path)

    def _show(self, job: dict[str, Any], shown: _Shown) -> None:
        if shown.done:
            return
        state = "running" if job["started_at"] else "queued"
        if state != shown.state:
            shown.state = state
            _print_line(job, f"{state}: {job['code_head']}")
        if job["last_seq"] > shown.cursor:
            self._show_output(job, shown)
        if job["state"] in FINAL and shown.cursor >= job["last_seq"]:
            shown.done = True
            took = f" after {job['execution_time_sec']:.1f} s" if job["execution_time_sec"] is not None else ""
            _print_line(job, f"{job['state']}{took}" + (f" ({job['reason']})" if job["reason"] else ""))

    def _show_output(self, job: dict[str, Any], shown: _Shown) -> None:
        """Show only the newest lines: a browser page cannot hold millions, and the job's log has them all."""
        after = max(shown.cursor, job["last_seq"] - EVENTS)
        page = self._get(f"/jobs/{job['id']}/events?after={after}&max_bytes=65536")
        lines = [line for event in page["events"] for line in _lines(event)]
        if after > shown.cursor or len(lines) > LINES:
            _print_line(job, "│ … (the rest is in the job's log)")
        for line in lines[-LINES:]:
            _print_line(job, f"│ {line}")
        shown.cursor = page["next"]


def _lines(event: dict[str, Any]) -> Iterator[str]:
    """Yield an event's text in lines; of a line that redraws itself (a progress bar), its last state."""
    kind = event["type"]
    if kind == "stream":
        for line in event["text"].rstrip("\n").split("\n"):
            yield line.rstrip("\r").rpartition("\r")[2]
    elif kind == "error":
        yield f"{event['ename']}: {event['evalue']}"
    elif kind == "progress":
        yield f"{event['completed']} of {event['total']} done"
    elif kind in ("display_data", "execute_result"):
        text = event["data"].get("text/plain")
        yield from text.splitlines() if isinstance(text, str) else [f"[{', '.join(event['data'])}]"]


def _print_line(job: dict[str, Any], text: str) -> None:
    # The end of the id: a UUIDv7 starts with the time, so consecutive jobs look alike.
    print(f"{datetime.now().astimezone():%H:%M:%S}  {job['id'][-8:]}  {text}", flush=True)

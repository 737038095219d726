"""What kept jobs cost the executor: its start, a list, a quick job and its memory, of few and of many, side by side.

PYTHONPATH=colab python benches/python/kept_jobs.py [JOBS] [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from smart_colab_executor.jobs.job import Ending
from smart_colab_executor.jobs.request import JobRequest
from smart_colab_executor.jobs.store import JobStore

FEW = 100
TOKEN = "a-token-of-this-machine-alone"  # noqa: S105


def keep(root: Path, count: int) -> None:
    """Leave the state folder of an executor that has run `count` jobs."""
    state = root / ".smart_colab"
    state.mkdir(parents=True)
    store = JobStore(state / "jobs", str(uuid.uuid4()))
    store.load({})
    for _ in range(count):
        job, _ = store.add(str(uuid.uuid4()), JobRequest("print('x')"))
        job.spool.append({"type": "stream", "name": "stdout", "text": "x\n"})
        job.finish(Ending("succeeded"))
    store.close()


def measure(root: Path) -> dict[str, float]:
    """Return the seconds until the executor is ready, of a list and of a quick job, and its memory in MB."""
    began = perf_counter()
    command = [sys.executable, "-m", "smart_colab_executor", "--port", "0", "--root", str(root)]
    environment = {**os.environ, "SMART_COLAB_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as executor:
        ready = json.loads(next(iter(executor.stdout or ())))
        taken = {"start": perf_counter() - began}

        def timed(name: str, method: str, path: str, body: object = None) -> None:
            began = perf_counter()
            call(ready["url"], method, path, body)
            taken[name] = perf_counter() - began

        code = {"code": "1"}
        call(ready["url"], "PUT", f"/jobs/{uuid.uuid4()}?wait=25", code)
        timed("a quick job", "PUT", f"/jobs/{uuid.uuid4()}?wait=25", code)
        timed("the first list", "GET", "/jobs")
        timed("a list", "GET", "/jobs")
        taken["memory"] = psutil.Process(executor.pid).memory_info().rss / 1e6
        executor.terminate()
    return taken


def call(url: str, method: str, path: str, body: object) -> Any:
    """Send one request to the executor."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request) as reply:  # noqa: S310
        return json.load(reply)


def main(count: int = 100_000, rounds: int = 5) -> None:
    """Measure in turns, and print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {"few": Path(folder, "few"), "many": Path(folder, "many")}
        keep(sides["few"], FEW)
        keep(sides["many"], count)
        found = {name: [measure(root) for root in sides.values()] for name in map(str, range(rounds))}
        for what in found["0"][0]:
            few, many = (statistics.median(pair[side][what] for pair in found.values()) for side in (0, 1))
            print(f"{what}: {few:.3f} with {FEW} jobs, {many:.3f} with {count}, {many / few:.2f} times")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

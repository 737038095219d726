"""Jobs of an ended executor are taken over by executors with neighbouring state folders."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.machine import state_lock

ENDLESS = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"


@pytest.fixture
def numbered(start: Callable[..., Executor], tmp_path: Path) -> Callable[[int], Executor]:
    return lambda number: start("--neighbours", "--state", str(tmp_path / "states" / str(number)))


def listed(executor: Executor) -> dict[str, dict[str, Any]]:
    jobs = executor.get("/jobs")["jobs"]
    found = {job["id"]: job for job in jobs}
    assert len(found) == len(jobs)
    return found


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_jobs_of_an_ended_executor_are_taken_over(numbered: Callable[[int], Executor], end: str) -> None:
    own, other = numbered(0), numbered(1)
    ended = other.run("print('one')").job["id"]
    running = other.submit(ENDLESS)
    other.wait_for_output(running, "asleep")
    kernels = other.kernels()
    if end == "killed":
        other.process.kill()
    else:
        other.process.terminate()
    other.process.wait()

    assert own.follow(ended).stdout == "one\n"
    lost = own.follow(running)
    assert (lost.state, lost.stdout) == ("lost", "asleep\n")
    rows = listed(own)
    assert [rows[job]["state"] for job in (ended, running)] == ["succeeded", "lost"]
    assert all(rows[job]["finished_at"] for job in (ended, running))
    assert not any(kernel.is_running() and kernel.status() != "zombie" for kernel in kernels)
    # Sent again, it is the same job.
    assert own.call("PUT", f"/jobs/{running}", {"code": ENDLESS}).status == 200
    # The next executor in its place reads them from where they are now.
    assert numbered(1).follow(ended).stdout == "one\n"


def test_jobs_are_taken_over_at_startup_and_when_listed(numbered: Callable[[int], Executor]) -> None:
    first, second = numbered(0), numbered(1)
    jobs = [second.run("1").job["id"]]
    with second:
        pass
    assert set(listed(first)) == set(jobs)
    jobs.append(first.run("2").job["id"])
    with first:
        pass
    assert list(listed(numbered(1))) == jobs[::-1]


def test_a_running_executor_keeps_its_jobs_and_ended_ones_can_be_read(
    numbered: Callable[[int], Executor],
) -> None:
    own, other = numbered(0), numbered(1)
    ended = other.run("print('one')").job["id"]
    running = other.submit(ENDLESS)
    other.wait_for_output(running, "asleep")
    assert own.follow(ended).stdout == "one\n"
    assert own.call("GET", f"/jobs/{ended}/log").body == b"one\n"
    assert own.call("GET", f"/jobs/{running}").status == 404
    reply = own.call("PUT", f"/jobs/{running}", {"code": ENDLESS})
    assert (reply.status, reply.json["code"]) == (409, "job_conflict")
    assert listed(own) == {}
    assert set(listed(other)) == {ended, running}
    assert other.get(f"/jobs/{running}")["job"]["state"] == "running"


def test_a_locked_folder_keeps_its_jobs(numbered: Callable[[int], Executor], tmp_path: Path) -> None:
    other = numbered(1)
    job = other.run("print('one')").job["id"]
    with other:
        pass
    held = state_lock.take(tmp_path / "states" / "1")
    own = numbered(0)
    assert listed(own) == {}
    held.close()
    assert set(listed(own)) == {job}


def test_an_unreadable_job_does_not_block_the_others(numbered: Callable[[int], Executor], tmp_path: Path) -> None:
    other = numbered(1)
    good, bad = (other.run("print('one')").job["id"] for _ in range(2))
    with other:
        pass
    (tmp_path / "states" / "1" / "jobs" / bad / "job.json").write_text("?")
    never_run = str(uuid.uuid4())
    (tmp_path / "states" / "1" / "jobs" / never_run).mkdir()
    own = numbered(0)
    assert own.follow(good).stdout == "one\n"
    assert own.call("GET", f"/jobs/{bad}").status == 404
    assert own.call("PUT", f"/jobs/{bad}", {"code": "print('one')"}).status == 409
    assert own.call("PUT", f"/jobs/{never_run}", {"code": "print('one')"}).status == 201


def test_neighbours_are_ignored_without_the_option(start: Callable[..., Executor], tmp_path: Path) -> None:
    other = start("--state", str(tmp_path / "1"))
    job = other.run("1").job["id"]
    with other:
        pass
    own = start("--state", str(tmp_path / "0"))
    assert own.call("GET", f"/jobs/{job}").status == 404
    assert listed(own) == {}

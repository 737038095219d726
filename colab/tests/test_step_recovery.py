"""The files of a job's steps are read back completely and once, wherever the executor was killed."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from harness import Executor, Finished, wait_until

from smart_colab_executor.jobs.job import Ending, Job
from smart_colab_executor.jobs.record import Record
from smart_colab_executor.jobs.reports import Reports
from smart_colab_executor.jobs.request import JobRequest
from smart_colab_executor.jobs.spool import Spool
from smart_colab_executor.jobs.store import JobStore
from smart_colab_executor.machine.probe import Memory

Start = Callable[..., Executor]
MEMORY = Memory(1.0, 2.0, 50.0)
BOOT = str(uuid.uuid4())


class Killed(BaseException):
    """Represents a sudden end of the executor."""


def report(iteration: int, message: str | None = None) -> bytes:
    row = {"completed": iteration + 1, "total": 6, "message": message, "iteration": iteration, "error": None}
    return json.dumps({**row, "result": iteration}, separators=(",", ":")).encode() + b"\n"


class Recorder:
    """Runs a job step by step without a kernel, up to the point at which the executor is killed."""

    def __init__(self, folder: Path, **loop: Any) -> None:
        self.store = JobStore(folder / "jobs", BOOT)
        self.store.load({})
        asked = {"stop": 6, "batch_size": 2, "setup": "setup", **loop}
        self.job, _ = self.store.add(str(uuid.uuid4()), JobRequest.parse({"code": "i", "loop": asked}))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.job.spool.close()
        self.job.reports.close()
        self.store.close()

    def run(self) -> None:
        """Run the setup and all batches, as a session and its kernel do."""
        job = self.job
        goes_on = True
        while goes_on:
            job.begin_step("kernel", 1, MEMORY)
            batch = job.step.batch or range(0)
            for iteration in batch:
                with job.reports.path.open("ab") as file:
                    file.write(report(iteration))
                if iteration % 2 == 0:
                    job.output("smart_colab_reported", {"count": iteration - batch.start + 1})
            goes_on = job.end_step()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A loop of six iterations in three batches, of which nothing has run."""
    with Recorder(tmp_path) as recorder:
        yield recorder.job


def read_back(folder: Path) -> Job:
    store = JobStore(folder / "jobs", str(uuid.uuid4()))
    store.load({})
    [job] = store.newest(None, None, 10)
    store.close()
    return job


def iterations(job: Job) -> list[int]:
    return [event["iteration"] for event in job.spool.events() if event["type"] == "progress"]


def test_reports_in_any_order_are_read_back_once_each(tmp_path: Path) -> None:
    with Recorder(tmp_path, batch_size=None, setup=None, cluster="local") as recorder:
        job = recorder.job
        job.begin_step("kernel", 1, MEMORY)
        for count, iteration in enumerate([3, 1, 5, 0], 1):
            with job.reports.path.open("ab") as file:
                file.write(report(iteration))
            if count == 2:
                job.output("smart_colab_reported", {"count": count})
    found = read_back(tmp_path)
    assert (iterations(found), found.record.completed, found.record.state) == ([3, 1, 5, 0], 4, "lost")


# The executor's writes to disk for a job's steps; it is killed before or after each of them.
WRITES = [(Spool, "append"), (Spool, "append_all"), (Reports, "create"), (Reports, "remove"), (Reports, "take")]


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_nothing_is_lost_or_counted_twice_wherever_the_executor_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    at, left = 0, -1
    reported: list[int] = []

    def struck(write: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                if is_done:
                    write(*arguments)
                raise Killed
            return write(*arguments)

        return run

    while left < 0:
        folder = tmp_path / str(at)
        folder.mkdir()
        with Recorder(folder) as recorder, monkeypatch.context() as patch:
            left = at
            for owner, name in WRITES:
                patch.setattr(owner, name, struck(getattr(owner, name)))
            with suppress(Killed):
                recorder.run()
        job = read_back(folder)
        known = iterations(job)
        assert known == list(range(len(known))), at
        assert job.record.completed == len(known), at
        assert known[: len(reported)] == reported, f"{at}: reports known one write earlier are known"
        assert (job.record.state, job.record.reason) == ("lost", "executor_restarted")
        assert not (job.folder / "reports.jsonl").exists()
        again = read_back(folder)
        assert (iterations(again), again.describe()) == (known, job.describe()), "read back twice"
        reported = known
        at += 1
    assert known == list(range(6))
    assert at > 15


@pytest.mark.parametrize(
    ("events", "file", "expected"),
    [
        # The first batch is spooled, and its file still exists.
        ([(0, 2), 0, 1], [0, 1], [0, 1]),
        # The file is removed; the next `batch` is not written.
        ([(0, 2), 0, 1], None, [0, 1]),
        # The next `batch` is written; its file is not created.
        ([(0, 2), 0, 1, (2, 4)], None, [0, 1]),
        # The new file exists; its reports have not been taken.
        ([(0, 2), 0, 1, (2, 4)], [], [0, 1]),
        ([(0, 2), 0, 1, (2, 4)], [2, 3], [0, 1, 2, 3]),
        ([(0, 2), 0, 1, (2, 4), 2], [2, 3], [0, 1, 2, 3]),
        # A job of an earlier version has no `batch`.
        ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]),
        # A kernel exited before it started the batch, which is started again.
        ([(0, 2), (0, 2), 0], [0, 1], [0, 1]),
        ([], None, []),
    ],
)
def test_a_state_that_a_killed_executor_leaves_is_read_back(
    tmp_path: Path, job: Job, events: list[Any], file: list[int] | None, expected: list[int]
) -> None:
    job.spool.append({"type": "started", "kernel_id": "kernel", "execution_count": 1})
    for event in events:
        if isinstance(event, int):
            job.spool.append({"type": "progress", **json.loads(report(event))})
        else:
            job.spool.append({"type": "batch", "start": event[0], "stop": event[1]})
    if file is not None:
        (job.folder / "reports.jsonl").write_bytes(b"".join(map(report, file)))
    found = read_back(tmp_path)
    assert iterations(found) == expected
    assert found.describe()["completed"] == len(expected)
    assert [event["seq"] for event in found.spool.events()] == list(range(1, found.spool.last_seq + 1))


def test_a_report_file_that_cannot_be_emptied_stops_the_job(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path, __: int) -> None:
        raise PermissionError(13, "in use")

    job.begin_step("kernel", 1, MEMORY)
    assert job.end_step()
    monkeypatch.setattr(os, "truncate", fail)
    with pytest.raises(OSError, match="in use"):
        job.begin_step("kernel", 1, MEMORY)
    assert not [event for event in job.spool.events() if event["type"] == "batch"], "or its reports would count twice"


def test_output_lost_between_two_steps_ends_the_job(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin_step("kernel", 1, MEMORY)
    assert job.end_step()
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(Spool, "append_all", fail)
        with pytest.raises(OSError, match="No space"):
            job.output("stream", {"name": "stdout", "text": "late"})
    with pytest.raises(OSError, match="between two steps"):
        job.begin_step("kernel", 1, MEMORY)


def test_a_record_of_an_earlier_version_is_read_back(tmp_path: Path, open_store: Callable[..., JobStore]) -> None:
    asked = {"code": "i", "session": "main", "timeout_sec": 600, "kernel_id": None}
    loop = {"start": 1, "stop": 3, "total": 3, "on_error": "stop"}
    old = Record(str(uuid.uuid4()), BOOT, "2026-01-01T00:00:00.000Z", state="succeeded", last_seq=1, events_bytes=-1)
    fields = {name: value for name, value in asdict(old).items() if name != "completed"}
    for job_id, request in ((old.id, {**asked, "loop": loop}), (str(uuid.uuid4()), {**asked, "loop": None})):
        folder = tmp_path / "jobs" / job_id
        folder.mkdir(parents=True)
        saved = {"request": request, "record": {**fields, "id": job_id}}
        (folder / "job.json").write_text(json.dumps(saved))
        row = {"seq": 1, "at": "2026-01-01T00:00:00.000Z", "type": "finished", "state": "succeeded", "reason": None}
        row |= {"execution_time_sec": 1.0, "variables_lost": False, "kernel_exit": None}
        (folder / "events.jsonl").write_text(json.dumps(row) + "\n")
    store = open_store(tmp_path / "jobs", BOOT)
    job = store.get(old.id)
    assert (job.record.state, job.record.completed, job.describe()["loop"]["batch_size"]) == ("succeeded", None, None)
    # The same request again is the same job.
    assert store.add(old.id, JobRequest.parse({**asked, "loop": loop})) == (job, False)
    assert len(store.newest(None, None, 10)) == 2


def test_a_job_between_two_steps_can_be_ended(job: Job) -> None:
    for _ in range(2):
        job.begin_step("kernel", 1, MEMORY)
        for iteration in job.step.batch or ():
            with job.reports.path.open("ab") as file:
                file.write(report(iteration))
        assert job.end_step()
    assert (job.is_waiting, job.record.completed) == (True, 2)
    job.finish(Ending("interrupted", "interrupted"))
    assert [event["type"] for event in job.spool.events()] == ["started", "batch", *["progress"] * 2, "finished"]
    assert not job.reports.path.exists()


def test_the_report_file_holds_one_batch(tmp_path: Path) -> None:
    with Recorder(tmp_path, stop=3000, batch_size=1, setup=None) as recorder:
        job, goes_on = recorder.job, True
        while goes_on:
            job.begin_step("kernel", 1, MEMORY)
            with job.reports.path.open("ab") as file:
                file.writelines(map(report, job.step.batch or ()))
            goes_on = job.end_step()
            assert job.reports.path.stat().st_size < 200, "the file is a batch's"
        assert job.record.completed == 3000


@pytest.mark.parametrize("pause", [0, 0.002], ids=["fast", "slow"])
def test_an_executor_killed_during_a_loop_loses_no_report(start: Start, pause: float) -> None:
    first = start()
    # The body's own record of its iterations, written just before each ends.
    setup = "import os, time\ndone = os.open('done', os.O_WRONLY | os.O_CREAT | os.O_APPEND)"
    body = f"os.write(done, b'%d\\n' % i)\ntime.sleep({pause})\ni"
    loop = {"stop": 10_000_000, "batch_size": 3, "setup": setup}
    job_id = first.submit(body, loop=loop)
    wait_until(lambda: (first.get(f"/jobs/{job_id}")["job"]["completed"]) > 50)
    first.process.kill()
    first.process.wait()
    second = start()
    job = second.follow(job_id)
    ran = [int(line) for line in (second.root / "done").read_text().split()]
    assert ran == list(range(len(ran))), "and nothing of it ran again"
    assert (job.state, job.reason, job.job["variables_lost"]) == ("lost", "executor_restarted", True)
    assert [event["result"] for event in job.of("progress")] == list(range(len(job.of("progress"))))
    assert len(job.of("progress")) in (len(ran) - 1, len(ran)), "all but the iteration in flight"
    assert job.job["completed"] == len(job.of("progress"))
    assert [event["seq"] for event in job.events] == list(range(1, len(job.events) + 1))
    reply = second.call("PUT", f"/jobs/{job_id}", {"code": body, "loop": loop})
    assert reply.status == 200, "the same job, which does not run again"


def test_stopping_the_executor_ends_a_job_between_two_steps(start: Start) -> None:
    first = start()
    job_id = first.submit("i", loop={"stop": 100_000, "batch_size": 1})
    holding = first.submit("import time\ntime.sleep(600)")
    wait_until(lambda: first.session()["running_job"] == holding)
    first.post("/shutdown")
    first.process.wait()
    job = start().follow(job_id)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("lost", "executor_stopped", True)
    assert [event["iteration"] for event in job.of("progress")] == list(range(job.job["completed"]))


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
def test_the_next_executor_finds_unread_output_of_any_step(start: Start) -> None:
    first = start()
    setup = f"""
import os, signal, threading, time
def speak():
    while not os.path.exists('speak'): time.sleep(0.01)
    os.kill({first.process.pid}, signal.SIGSTOP)
    print('by a thread of the setup', flush=True)
    threading.Event().wait()
threading.Thread(target=speak, daemon=True).start()
"""
    body = "if i == 3:\n    print('on', flush=True)\n    time.sleep(600)"
    job_id = first.submit(body, loop={"stop": 9, "batch_size": 2, "setup": setup})
    first.wait_for_output(job_id, "on")
    (first.root / "speak").touch()
    wait_until(lambda: _is_stopped(first))
    [journal] = (first.root / ".smart_colab" / "kernels").glob("*.journal")
    wait_until(lambda: b"by a thread" in journal.read_bytes())
    first.process.kill()
    first.process.wait()
    job: Finished = start().follow(job_id)
    assert (job.reason, job.stdout) == ("executor_restarted", "on\nby a thread of the setup\n")


def _is_stopped(executor: Executor) -> bool:
    import psutil

    return psutil.Process(executor.process.pid).status() == psutil.STATUS_STOPPED

"""The executor's lifecycle: start, end, recovery after a crash, and a full disk."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import psutil
import pytest
from harness import PACKAGE_PARENT, TOKEN, Executor, wait_until

Start = Callable[..., Executor]
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"


def kill(executor: Executor) -> None:
    executor.process.kill()
    executor.process.wait()


def job_folder(executor: Executor, job_id: str) -> Path:
    return executor.root / ".smart_colab" / "jobs" / job_id


def test_the_ready_line_names_the_address(start: Start, tmp_path: Path) -> None:
    executor = start("--ready-file", str(tmp_path / "ready.json"))
    assert sorted(executor.ready) == ["boot_id", "pid", "url", "version"]
    assert executor.ready["pid"] == executor.process.pid
    assert executor.ready["url"].startswith("http://127.0.0.1:")
    assert json.loads((tmp_path / "ready.json").read_text()) == executor.ready
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "ready.json").stat().st_mode) == 0o600


def test_a_generated_token_is_printed_once(start: Start) -> None:
    executor = start(token=None)
    assert len(executor.ready["token"]) >= 32
    assert executor.call("GET", "/jobs").status == 200
    assert executor.ready["token"] not in executor.log.read_text()


def test_the_token_can_come_from_a_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    executor = start("--token-file", str(tmp_path / "token"))
    assert "token" not in executor.ready
    assert executor.call("GET", "/jobs", token="from-a-file").status == 200
    assert executor.call("GET", "/jobs", token=TOKEN).status == 401


@pytest.mark.parametrize(
    "arguments", [["--token", "-"], ["--token", ""], ["--token-file", "missing"], ["--root", "missing"]]
)
def test_an_invalid_start_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "smart_colab_executor", "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "error" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("way", ["terminate", "shutdown", "stdin"])
def test_a_clean_end_leaves_no_kernels(start: Start, way: str) -> None:
    options = {"stdin": subprocess.PIPE} if way == "stdin" else {}
    executor = start("--exit-with-stdin", **options) if way == "stdin" else start()
    job_id = executor.submit(SLEEP)
    executor.wait_for_output(job_id, "asleep")
    queued = executor.submit("1")
    kernels = executor.kernels()
    assert kernels
    if way == "terminate":
        executor.process.terminate()
    elif way == "shutdown":
        reply = executor.call("POST", "/shutdown")
        assert (reply.status, reply.json) == (202, {"status": "stopping"})
    else:
        assert executor.process.stdin is not None
        executor.process.stdin.close()
    assert executor.process.wait(40) == 0
    assert not any(kernel.is_running() for kernel in kernels)
    for job, lost in ((job_id, True), (queued, False)):
        record = json.loads((job_folder(executor, job) / "job.json").read_text().splitlines()[-1])
        assert (record["state"], record["reason"], record["variables_lost"]) == ("lost", "executor_stopped", lost)
    for line in executor.log.read_text().splitlines():
        assert "Traceback" not in line


def test_who_waits_for_a_job_receives_its_end_when_the_executor_is_stopped(start: Start) -> None:
    executor = start()
    job_id = executor.submit(SLEEP)
    executor.wait_for_output(job_id, "asleep")
    process = psutil.Process(executor.process.pid)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(executor.follow, job_id, executor.get(f"/jobs/{job_id}")["job"]["last_seq"])
        wait_until(lambda: any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp")))
        executor.process.terminate()
        job = waiting.result()
    assert (job.state, job.reason) == ("lost", "executor_stopped")


def test_jobs_survive_a_restart_and_are_not_run_again(start: Start) -> None:
    first = start()
    job_id = str(uuid.uuid4())
    body = {"code": "with open('count', 'a') as file:\n    n = file.write('x')\nprint('once')"}
    first.call("PUT", f"/jobs/{job_id}", body)
    before = first.follow(job_id)
    first.post("/shutdown")
    first.process.wait(40)
    second = start()
    assert second.ready["boot_id"] != first.ready["boot_id"]
    assert second.call("PUT", f"/jobs/{job_id}", body).status == 200
    assert second.call("PUT", f"/jobs/{job_id}", {"code": "2"}).status == 409
    after = second.follow(job_id)
    assert after == before
    assert second.call("GET", f"/jobs/{job_id}/log").body == b"once\n"
    assert (second.root / "count").read_text() == "x"


def test_a_killed_executors_jobs_are_lost_and_keep_their_output(start: Start) -> None:
    first = start()
    running = first.submit(SLEEP)
    first.wait_for_output(running, "asleep")
    queued = first.submit("print('never')")
    kernels = first.kernels()
    kill(first)
    # The kernel watches its parent.
    wait_until(lambda: not any(kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE for kernel in kernels))
    second = start()
    # The cursor from before the crash is still valid.
    job = second.follow(running, after=2)
    assert [(event["type"], event["seq"]) for event in job.events] == [("finished", 3)]
    assert (job.state, job.reason, job.job["variables_lost"]) == ("lost", "executor_restarted", True)
    assert second.call("GET", f"/jobs/{running}/log").body == b"asleep\n"
    assert second.follow(queued).state == "lost"
    assert second.run("print('serves')").stdout == "serves\n"
    events = second.follow(running).events
    kill(second)
    third = start()
    assert third.follow(running).events == events


def test_a_truncated_last_line_is_dropped(start: Start) -> None:
    first = start()
    torn = [b'{"seq":3,"at":"2026', b'{"seq":3}', b"\x00\x00\x00\n", b'{"seq":7,"type":"x"}\n']
    jobs = [first.submit(SLEEP, session=f"s{number}") for number in range(len(torn))]
    for job_id in jobs:
        first.wait_for_output(job_id, "asleep")
    kill(first)
    for job_id, line in zip(jobs, torn, strict=True):
        with (job_folder(first, job_id) / "events.jsonl").open("ab") as file:
            file.write(line)
    second = start()
    for job_id, line in zip(jobs, torn, strict=True):
        job = second.follow(job_id)
        assert [event["seq"] for event in job.events] == list(range(1, len(job.events) + 1)), line
        kinds = [kind for kind, _ in groupby(event["type"] for event in job.events)]  # a line may be split
        assert kinds == ["started", "stream", "finished"], line


def test_an_unrecorded_end_is_taken_from_the_events(start: Start) -> None:
    first = start()
    torn: list[Callable[[bytes], bytes]] = [lambda _: b"", lambda _: b"\n", lambda end: b"\n" + end[:-9]]
    jobs = [first.run("print(1)") for _ in torn]
    paths = [job_folder(first, job.job["id"]) / "job.json" for job in jobs]
    wait_until(lambda: all(path.read_bytes().count(b"\n") == 1 for path in paths))
    kill(first)
    for path, tear in zip(paths, torn, strict=True):
        accepted, end = path.read_bytes().splitlines()
        path.write_bytes(accepted + tear(end))
    second = start()
    for job in jobs:
        again = second.follow(job.job["id"])
        assert again.events == job.events
        assert again.state == "succeeded"
    kill(second)
    mended = [path.read_bytes() for path in paths]
    start()
    assert [path.read_bytes() for path in paths] == mended, "they are rewritten at every start"


def test_a_corrupt_record_does_not_prevent_a_start(start: Start) -> None:
    first = start()
    contents = [b"", b"{", b"[]", b'{"request":{},"record":{}}', b'{"request":{"code":1},"record":{"id":"x"}}']
    corrupt, whole = [first.run("1").job["id"] for _ in contents], first.run("2").job["id"]
    kill(first)
    paths = [job_folder(first, job_id) / "job.json" for job_id in corrupt]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    second = start()
    assert second.get(f"/jobs/{whole}")["job"]["state"] == "succeeded"
    for job_id, path, content in zip(corrupt, paths, contents, strict=True):
        assert second.call("GET", f"/jobs/{job_id}").status == 404
        # An unreadable record is not overwritten, and its code is not run again.
        assert second.call("PUT", f"/jobs/{job_id}", {"code": "1"}).status == 409
        assert path.read_bytes() == content


def test_the_state_folder_can_be_elsewhere(start: Start, tmp_path: Path) -> None:
    executor = start("--state", str(tmp_path / "elsewhere"))
    job = executor.run("1")
    assert (tmp_path / "elsewhere" / "jobs" / job.job["id"] / "events.jsonl").exists()
    assert not (tmp_path / ".smart_colab").exists()


@pytest.mark.skipif(
    not hasattr(psutil, "RLIMIT_FSIZE"), reason="needs a limit on the size of files to stand for a full disk"
)
class TestFullDisk:
    """A limit on the size of the executor's files makes writes fail like a full disk."""

    def limit(self, executor: Executor, size: int) -> None:
        unlimited = psutil.Process(executor.process.pid).rlimit(psutil.RLIMIT_FSIZE)[1]
        psutil.Process(executor.process.pid).rlimit(psutil.RLIMIT_FSIZE, (size, unlimited))

    def test_a_job_whose_output_does_not_fit_fails_without_others(self, start: Start) -> None:
        executor = start()
        executor.run("kept = 1")
        self.limit(executor, 500_000)
        job = executor.run("while True:\n    print('x' * 1000)")
        assert (job.state, job.reason) == ("failed", "disk_full")
        assert job.events[-1]["type"] == "finished"
        assert [event["seq"] for event in job.events] == list(range(1, len(job.events) + 1))
        log = executor.call("GET", f"/jobs/{job.job['id']}/log").body.decode()
        assert log.startswith(job.stdout)
        self.limit(executor, psutil.RLIM_INFINITY)
        assert executor.run("print(kept)").stdout == "1\n"

    def test_a_job_that_cannot_be_recorded_is_not_run(self, start: Start) -> None:
        executor = start(stderr=subprocess.DEVNULL)
        executor.run("ran = False")
        job_id = str(uuid.uuid4())
        self.limit(executor, 0)
        reply = executor.call("PUT", f"/jobs/{job_id}", {"code": "ran = True"})
        assert (reply.status, reply.json["code"]) == (507, "disk_full")
        self.limit(executor, psutil.RLIM_INFINITY)
        assert executor.call("GET", f"/jobs/{job_id}").status == 404
        assert executor.run("print(ran)").stdout == "False\n"
        assert executor.call("PUT", f"/jobs/{job_id}", {"code": "ran = True"}).status == 201

"""Reports of a loop's iterations: none is lost or repeated, and each is in order with the output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor, Finished, wait_until

from smart_colab_executor.jobs.reports import Reports, readable

pytestmark = pytest.mark.fresh_kernel

Start = Callable[..., Executor]


def completed(job: Finished) -> list[int]:
    return [event["completed"] for event in job.of("progress")]


def file_of(executor: Executor, job_id: str) -> Path:
    return executor.root / ".smart_colab" / "jobs" / job_id / "reports.jsonl"


def in_order(job: Finished) -> list[Any]:
    """Return the lines that a loop printed and the numbers of its reports, in order."""
    shown: list[Any] = []
    for event in job.events:
        if event["type"] == "stream":
            shown += event["text"].split()
        elif event["type"] == "progress":
            shown.append(event["iteration"])
        elif event["type"] in ("display_data", "error"):
            shown.append(event["type"])
    return shown


@pytest.mark.parametrize("kill_signal", ["SIGKILL", "SIGSEGV"])
@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_killed_kernel_loses_no_report(executor: Executor, session: str, kill_signal: str) -> None:
    body = f"import os, signal\nif i == 300:\n    os.kill(os.getpid(), signal.{kill_signal})"
    job = executor.run(body, session=session, loop={"stop": 1000})
    assert job.reason == "kernel_died"
    assert completed(job) == list(range(1, 301))
    assert not file_of(executor, job.job["id"]).exists()


def test_a_loop_killed_at_its_timeout_loses_no_report(executor: Executor, session: str) -> None:
    body = """
while i == 200:
    try:
        import time
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""
    job = executor.run(body, session=session, loop={"stop": 1000}, timeout_sec=1)
    assert (job.reason, job.job["variables_lost"]) == ("timeout", True)
    assert completed(job) == list(range(1, 201))


def test_a_restart_loses_no_report(executor: Executor, session: str) -> None:
    body = "if i == 100:\n    print('there', flush=True)\n    import time\n    time.sleep(600)"
    job_id = executor.submit(body, session=session, loop={"stop": 1000})
    executor.wait_for_output(job_id, "there")
    executor.post(f"/sessions/{session}/restart")
    job = executor.follow(job_id)
    assert job.reason == "session_restarted"
    assert completed(job) == list(range(1, 101))


@pytest.mark.parametrize("pause", [0, 0.002], ids=["fast", "slow"])
def test_a_killed_executor_loses_no_report(start: Start, pause: float) -> None:
    first = start()
    # The body's own record of the iterations, written just before each one ends.
    body = f"import os, time\nos.write(done, b'%d\\n' % i)\ntime.sleep({pause})\ni"
    first.run("import os\ndone = os.open('done', os.O_WRONLY | os.O_CREAT | os.O_APPEND)")
    job_id = first.submit(body, loop={"stop": 10_000_000})
    wait_until(lambda: len(first.follow_once(job_id)) > 50)
    first.process.kill()
    first.process.wait()
    second = start()
    job = second.follow(job_id)
    ran = [int(line) for line in (second.root / "done").read_text().split()]
    assert job.reason == "executor_restarted"
    assert [event["result"] for event in job.of("progress")] == list(range(len(completed(job))))
    assert len(completed(job)) in (len(ran) - 1, len(ran)), "all but the iteration in flight"
    assert [event["seq"] for event in job.events] == list(range(1, len(job.events) + 1))
    assert not file_of(second, job_id).exists()


def test_a_report_truncated_by_a_crash_is_dropped(start: Start) -> None:
    first = start()
    body = "if i == 3:\n    print('there', flush=True)\n    import time\n    time.sleep(600)"
    job_id = first.submit(body, loop={"stop": 5})
    first.wait_for_output(job_id, "there")
    first.process.kill()
    first.process.wait()
    whole = b'{"completed":4,"total":5,"message":null,"iteration":3,"error":null,"result":null}\n'
    with file_of(first, job_id).open("ab") as file:
        file.write(whole + whole[:30])
    assert completed(start().follow(job_id)) == [1, 2, 3, 4]


def test_reports_keep_their_place_among_the_output(executor: Executor, session: str) -> None:
    body = """
if i % 7 == 3:
    print(f'a{i}')
if i % 11 == 5:
    display(f'{i}')
if i == 99:
    1 / 0
"""
    job = executor.run(body, session=session, loop={"stop": 1000})
    expected: list[Any] = []
    for i in range(100):
        expected += [f"a{i}"] * (i % 7 == 3) + ["display_data"] * (i % 11 == 5) + [i] * (i < 99)
    assert in_order(job) == [*expected, "error"]


def test_a_report_arrives_while_the_next_iteration_runs(executor: Executor, session: str) -> None:
    # Fast iterations before it, so that it is announced later together with others.
    body = "import time\nif i == 50:\n    time.sleep(600)"
    job_id = executor.submit(body, session=session, loop={"stop": 100})
    wait_until(lambda: executor.get(f"/jobs/{job_id}")["job"]["last_seq"] == 52)
    executor.post(f"/jobs/{job_id}/interrupt")
    assert completed(executor.follow(job_id)) == list(range(1, 51))


def test_large_results_are_reported_whole(executor: Executor, session: str) -> None:
    job = executor.run("chr(97 + i % 26) * 65_000", session=session, loop={"stop": 200})
    assert [event["result"] for event in job.of("progress")] == [chr(97 + i % 26) * 65_000 for i in range(200)]


def test_unusual_results_are_reported_in_portable_json(executor: Executor, session: str) -> None:
    body = """
import sys
sys.setrecursionlimit(100_000)
deep = []
for _ in range(2_000):
    deep = [deep]
[deep, '\\ud800', 10**400, {'x': float('inf')}, '\\ud800 and ü'][i]
"""
    job = executor.run(body, session=session, loop={"stop": 5})
    assert completed(job) == [1, 2, 3, 4, 5]
    results = [event["result"] for event in job.of("progress")]
    assert results[1:] == ["\ufffd", str(10**400), {"x": "Infinity"}, "\ufffd and ü"]
    assert [event["marked"] for event in job.of("progress")] == [
        {"list": 1},
        None,
        {"int as text": 1},
        {"Infinity": 1},
        None,
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files to stand for a full disk")
def test_a_loop_that_cannot_report_stops(executor: Executor, session: str) -> None:
    body = """
import resource
if i == 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
ran = i
"""
    job = executor.run(body, session=session, loop={"stop": 100, "on_error": "skip"})
    assert (job.state, job.reason) == ("failed", "python_error")
    [error] = job.of("error")
    assert error["ename"] == "ReportNotWritten"
    assert "iteration 3 has run" in error["evalue"]
    assert completed(job) == [1, 2, 3]
    # Not by a print: IPython's history, which the limit affects too, also prints.
    rows = executor.get(f"/variables?session={session}")["variables"]
    assert [row["repr"] for row in rows if row["name"] == "ran"] == ["3"]


@pytest.mark.skipif(sys.platform == "win32", reason="cannot remove a file that is open")
def test_a_loop_that_removes_its_own_file_loses_no_report(executor: Executor, session: str) -> None:
    body = f"import glob, os\nfor file in glob.glob({str(file_of(executor, '*'))!r}):\n    os.remove(file)"
    assert completed(executor.run(body, session=session, loop={"stop": 3})) == [1, 2, 3]


def test_a_forked_process_reports_nothing(executor: Executor, session: str) -> None:
    if sys.platform == "win32":
        pytest.skip("cannot fork")
    # The fork continues the loop until iteration 2.
    body = """
import os
if i == 1:
    child = os.fork()
if i == 2:
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""
    job = executor.run(body, session=session, loop={"stop": 5})
    assert completed(job) == [1, 2, 3, 4, 5]


def test_a_silent_loop_sends_few_messages(executor: Executor, session: str) -> None:
    count = """
import sys
output = sys.modules["_smart_colab"]._output
send, sent = output._send, []
def count(stream, message, *rest, **options):
    sent.append(message)
    return send(stream, message, *rest, **options)
output._send = count
"""
    executor.run(count, session=session)
    job = executor.run("x = i", session=session, loop={"stop": 20_000})
    assert completed(job) == list(range(1, 20_001))
    # A message takes 180 µs, an iteration without one 12 µs; they are sent every 20 ms.
    told = executor.run("print(sent.count('smart_colab_reported'))", session=session)
    assert 0 < int(told.stdout) < 2000


def test_the_executors_full_disk_keeps_reports_for_later(tmp_path: Path) -> None:
    lines = [b'{"completed":%d,"result":null}\n' % (k + 1) for k in range(5)]
    reports = Reports(tmp_path)
    reports.create()
    (tmp_path / "reports.jsonl").write_bytes(b"".join(lines) + b'{"comple')
    assert reports.read(2) == reports.read(2) == lines[:2]
    reports.take(lines[:2])
    assert (reports.read(2), reports.read(), reports.taken) == ([], lines[2:], 2)
    reports.close()
    again = Reports(tmp_path, taken=3)
    assert again.read() == lines[3:]
    again.remove()
    assert not (tmp_path / "reports.jsonl").exists()
    assert Reports(tmp_path).read() == []


def test_a_report_with_an_unreadable_result_is_read_without_it() -> None:
    deep = b'{"completed":1,"error":null,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    assert json.loads(readable(deep) or b"") == {"completed": 1, "error": None, "result": None}
    assert readable(b"[]\n") is readable(b"nothing\n") is readable(b"3\n") is None

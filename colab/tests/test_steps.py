"""A loop is one job that runs in steps: its setup, then its batches, alternating with the session's other jobs."""

from __future__ import annotations

import sys
import uuid
from itertools import groupby
from typing import Any

import pytest
from harness import Executor, wait_until
from step_helpers import batches, iterations, loop

from smart_colab_executor.in_kernel.message_ids import job_of
from smart_colab_executor.jobs.request import MAX_BATCH_SIZE, JobRequest
from smart_colab_executor.jobs.steps import steps

posix = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")


def request(**fields: Any) -> JobRequest:
    return JobRequest.parse({"code": "body", "loop": loop(**fields)})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop": 5}, [("body", range(5))]),
        ({"stop": 5, "batch_size": 2}, [("body", range(2)), ("body", range(2, 4)), ("body", range(4, 5))]),
        ({"stop": 4, "batch_size": 9, "start": 3, "setup": "x"}, [("x", None), ("body", range(3, 4))]),
        ({"stop": 0, "batch_size": 2, "setup": ""}, [("body", range(0))]),
        ({"stop": 2**63 - 1, "start": 2**63 - 2}, [("body", range(2**63 - 2, 2**63 - 1))]),
    ],
)
def test_a_loop_is_its_setup_and_its_batches(fields: dict[str, Any], expected: list[Any]) -> None:
    found = list(steps("job", request(**fields)))
    assert [(step.code, step.batch) for step in found] == expected
    assert [step.message_id for step in found] == ["job", *(f"job.{n}" for n in range(2, len(found) + 1))]
    assert {job_of(step.message_id) for step in found} == {"job"}


def test_other_code_is_one_step() -> None:
    assert [(step.code, step.message_id) for step in steps("job", JobRequest("1"))] == [("1", "job")]


def test_steps_follow_each_other_without_requests(executor: Executor, session: str) -> None:
    setup = "print('setup')\nbase = 100"
    job = executor.run("print('at', i)\nbase + i", session=session, loop=loop(7, 3, setup))
    assert (job.state, job.job["completed"]) == ("succeeded", 7)
    assert [event["result"] for event in job.of("progress")] == list(range(100, 107))
    assert batches(job) == [(0, 3), (3, 6), (6, 7)]
    kinds = [kind for kind, _ in groupby(event["type"] for event in job.events)]
    of_batches = ["batch", *["stream", "progress"] * 3] * 2
    assert kinds == ["started", "stream", *of_batches, "batch", "stream", "progress", "finished"]
    assert job.job["loop"] == {"start": 0, "stop": 7, "total": 7, "on_error": "stop", "batch_size": 3, "cluster": None}
    job_id = job.job["id"]
    assert executor.call("GET", f"/jobs/{job_id}/setup").body.decode() == setup
    assert executor.call("GET", f"/jobs/{job_id}/code").body.decode() == "print('at', i)\nbase + i"
    assert executor.get("/jobs?limit=1")["jobs"][0] == job.job


def test_a_loop_without_a_batch_size_is_one_batch(executor: Executor, session: str) -> None:
    job = executor.run("i", session=session, loop=loop(5, start=2, total=9))
    assert (batches(job), job.job["completed"]) == ([(2, 5)], 5)
    assert executor.call("GET", f"/jobs/{job.job['id']}/setup").body == b""
    assert executor.run("1", session=session).job["completed"] is None


def test_completed_follows_the_iterations(executor: Executor, session: str) -> None:
    job_id = executor.submit(
        "import time\nif i == 5: time.sleep(600)", session=session, loop=loop(100, 2, start=3, total=100)
    )
    wait_until(lambda: executor.get(f"/jobs/{job_id}")["job"]["completed"] == 5)
    job = executor.get(f"/jobs/{job_id}")["job"]
    assert (job["state"], job["queue_position"]) == ("running", None)
    executor.post(f"/jobs/{job_id}/interrupt")
    assert executor.follow(job_id).job["completed"] == 5


@pytest.mark.fresh_kernel
def test_other_jobs_of_the_session_run_between_two_steps(executor: Executor, session: str) -> None:
    gate = executor.root / f"gate-{session}"
    setup = f"order = []\nimport pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    first = executor.submit("order.append(i)", session=session, loop=loop(6, 2, setup))
    second = executor.submit("order.append(f'b{i}')", session=session, loop=loop(4, 2))
    third = executor.submit("order.append('c')", session=session)
    last = executor.submit("order.append('d')", session=session)
    wait_until(lambda: executor.get(f"/jobs/{first}")["job"]["state"] == "running")
    jobs = [executor.get(f"/jobs/{job_id}")["job"] for job_id in (first, second, third, last)]
    waits = [(job["queue_position"], job["behind"]) for job in jobs]
    assert waits == [(None, None), (1, first), (2, first), (3, first)]
    gate.touch()
    for job_id in (first, second, third, last):
        assert executor.follow(job_id).state == "succeeded"
    order = executor.run("print(order)", session=session).stdout
    assert order == "['b0', 'b1', 'c', 'd', 0, 1, 'b2', 'b3', 2, 3, 4, 5]\n"


@pytest.mark.fresh_kernel
def test_a_job_between_two_steps_is_running(executor: Executor, session: str) -> None:
    gate = executor.root / f"gate-{session}"
    first = executor.submit("i", session=session, loop=loop(2000, 1))
    holding = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    second = executor.submit(holding, session=session)
    third = executor.submit("1", session=session)
    wait_until(lambda: executor.session(session)["running_job"] == second)
    for name, waits in ((first, ("running", None, None)), (third, ("queued", 1, second))):
        job = executor.get(f"/jobs/{name}")["job"]
        assert (job["state"], job["queue_position"], job["behind"]) == waits
    assert (executor.session(session)["state"], executor.session(session)["queued_jobs"]) == ("busy", 1)
    assert executor.call("POST", "/cleanup", {"session": session}).status == 409
    # It ends at once, before its next turn.
    executor.post(f"/jobs/{first}/interrupt")
    job = executor.follow(first)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("interrupted", "interrupted", False)
    assert iterations(job) == list(range(job.job["completed"]))
    gate.touch()
    assert executor.follow(third).state == "succeeded"


@pytest.mark.fresh_kernel
@pytest.mark.parametrize("end", ["restart", "delete"])
def test_the_sessions_end_ends_a_job_between_two_steps(executor: Executor, session: str, end: str) -> None:
    first = executor.submit("i", session=session, loop=loop(2000, 1))
    second = executor.submit("import time\ntime.sleep(600)", session=session)
    wait_until(lambda: executor.session(session)["running_job"] == second)
    method, path = ("POST", f"/sessions/{session}/restart") if end == "restart" else ("DELETE", f"/sessions/{session}")
    ended = executor.call(method, path).json["ended_jobs"]
    assert set(ended) == {first, second}
    job = executor.follow(first)
    reason = "session_restarted" if end == "restart" else "session_deleted"
    assert (job.state, job.reason, job.job["variables_lost"]) == ("interrupted", reason, True)
    assert len(job.of("finished")) == 1


def test_the_timeout_limits_each_step(executor: Executor, session: str) -> None:
    nap = "import time\ntime.sleep(0.7)"
    job = executor.run(nap, session=session, timeout_sec=1, loop=loop(3, 1, nap))
    assert (job.state, iterations(job)) == ("succeeded", [0, 1, 2])
    late = executor.run("import time\nif i == 3: time.sleep(600)", session=session, timeout_sec=1, loop=loop(9, 2))
    assert (late.state, late.reason, iterations(late)) == ("timed_out", "timeout", [0, 1, 2])
    assert batches(late) == [(0, 2), (2, 4)]
    setup = executor.run("i", session=session, timeout_sec=1, loop=loop(9, 2, "import time\ntime.sleep(600)"))
    assert (setup.reason, batches(setup), setup.job["completed"]) == ("timeout", [], 0)


def test_a_setup_that_fails_ends_the_job_before_the_first_batch(executor: Executor, session: str) -> None:
    job = executor.run("i", session=session, loop=loop(9, 2, "print('on')\n1 / 0"))
    assert (job.state, job.reason, job.job["completed"]) == ("failed", "python_error", 0)
    assert [event["type"] for event in job.events] == ["started", "stream", "error", "finished"]
    text = "".join(job.of("error")[0]["traceback"])
    assert "_smart_colab" not in text


def test_a_setup_is_no_loop(executor: Executor, session: str) -> None:
    setup = "from __future__ import annotations\n%precision 3\nhere = '{i}'\nhere"
    job = executor.run("here", session=session, loop=loop(1, None, setup))
    assert job.of("execute_result")[0]["data"]["text/plain"] == "'{i}'"
    assert job.of("progress")[0]["result"] == "{i}"


@pytest.mark.parametrize("setup", ["", "# nothing", "  \n"])
def test_an_empty_setup_does_no_harm(executor: Executor, session: str, setup: str) -> None:
    job = executor.run("i", session=session, loop=loop(3, 2, setup))
    assert (job.state, iterations(job), job.stdout) == ("succeeded", [0, 1, 2], "")


def test_a_body_that_fails_ends_the_job_at_that_iteration(executor: Executor, session: str) -> None:
    job = executor.run("1 / (i - 5)", session=session, loop=loop(9, 2))
    assert (job.state, job.reason, job.job["completed"]) == ("failed", "python_error", 5)
    assert (batches(job), iterations(job)) == ([(0, 2), (2, 4), (4, 6)], [0, 1, 2, 3, 4])
    skipping = executor.run("1 / (i - 5)", session=session, loop=loop(9, 2, on_error="skip"))
    assert (skipping.state, iterations(skipping)) == ("succeeded", list(range(9)))
    assert [event["iteration"] for event in skipping.of("progress") if event["error"]] == [5]


@pytest.mark.parametrize("at", [2, 3], ids=["in a batch", "at a batch's last iteration"])
def test_a_break_ends_all_steps(executor: Executor, session: str, at: int) -> None:
    job = executor.run(f"if i == {at}: break", session=session, loop=loop(99, 2))
    assert (job.state, job.job["completed"], batches(job)) == ("succeeded", at + 1, [(0, 2), (2, 4)])
    assert [event["message"] for event in job.of("progress")] == [None] * at + ["break"]


@pytest.mark.fresh_kernel
def test_a_batch_that_reports_too_little_is_the_last(executor: Executor, session: str) -> None:
    executor.run("import sys\nrunner = sys.modules['_smart_colab']._loop_runner", session=session)
    job = executor.run("if i == 3: runner._stop = 0; runner._report = lambda _: None", session=session, loop=loop(9, 2))
    assert (job.state, job.job["completed"], batches(job)) == ("succeeded", 3, [(0, 2), (2, 4)])


def test_an_interrupt_in_a_step_ends_the_job(executor: Executor, session: str) -> None:
    body = "import time\nif i == 3:\n    print('in', flush=True)\n    time.sleep(600)"
    job_id = executor.submit(body, session=session, loop=loop(9, 2, on_error="skip"))
    executor.wait_for_output(job_id, "in")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.reason, iterations(job)) == ("interrupted", "interrupted", [0, 1, 2])


def test_no_step_follows_one_that_caught_the_interrupt(executor: Executor, session: str) -> None:
    body = """
import time
try:
    if i == 3:
        print('in', flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print('caught')
"""
    job_id = executor.submit(body, session=session, loop=loop(9, 2))
    executor.wait_for_output(job_id, "in")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.stdout, iterations(job)) == ("interrupted", "in\ncaught\n", [0, 1, 2, 3])
    last = executor.submit(body, session=session, loop=loop(4, 2))
    executor.wait_for_output(last, "in")
    executor.post(f"/jobs/{last}/interrupt")
    assert executor.follow(last).state == "succeeded", "its code ran to its end"


@posix
@pytest.mark.parametrize("how", ["os.kill(os.getpid(), 9)", "os._exit(0)", "exit()"])
def test_a_job_whose_kernel_ends_between_two_steps_is_lost(executor: Executor, session: str, how: str) -> None:
    executor.run("mine = 1", session=session)
    first = executor.submit("mine", session=session, loop=loop(100_000, 1))
    wait_until(lambda: executor.get(f"/jobs/{first}")["job"]["completed"])
    executor.run(f"import os\n{how}", session=session)
    job = executor.follow(first)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("lost", "kernel_replaced", True)
    assert iterations(job) == list(range(job.job["completed"]))
    after = executor.run("print('mine' in globals(), 'i' in globals())", session=session)
    assert after.stdout == "False False\n"
    assert after.job["kernel_id"] != job.job["kernel_id"]


@posix
def test_a_kernel_that_dies_in_a_step_ends_the_job(executor: Executor, session: str) -> None:
    body = "import os\nif i == 5: os.kill(os.getpid(), 9)"
    job = executor.run(body, session=session, loop=loop(9, 2))
    assert (job.state, job.reason, job.job["completed"]) == ("failed", "kernel_died", 5)
    assert job.job["kernel_exit"]["signal"] == "SIGKILL"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"setup": "exit()", "stop": 4}, "failed"),
        ({"setup": "import threading; t = threading.Thread(target=exit); t.start(); t.join()", "stop": 4}, "failed"),
    ],
)
def test_a_step_that_asks_its_process_to_exit_is_the_last(
    executor: Executor, session: str, fields: dict[str, Any], state: str
) -> None:
    job = executor.run("i", session=session, loop=loop(batch_size=2, **fields))
    assert (job.state, job.reason, job.job["variables_lost"]) == (state, "exited", True)
    assert (batches(job), job.job["completed"]) == ([], 0)


@pytest.mark.parametrize("after", [0.0, 0.003, 0.03, 0.3])
def test_no_step_runs_in_a_kernel_that_exits(executor: Executor, session: str, after: float) -> None:
    setup = f"""
import asyncio
running = asyncio.get_event_loop()
running.call_later({after}, running.stop)
mine = 1
"""
    job = executor.run("mine", session=session, loop=loop(100_000, 1, setup))
    assert job.job["variables_lost"]
    assert (job.state, job.reason) in (("failed", "exited"), ("lost", "kernel_replaced"))
    assert iterations(job) == list(range(job.job["completed"]))
    assert not job.of("error") or job.of("error")[0]["ename"] == "ExitCalled"
    assert executor.run("print('i' in globals())", session=session).stdout == "False\n"


def test_a_replaced_kernel_gets_no_step(executor: Executor, session: str) -> None:
    kernel_id = executor.run("1", session=session).job["kernel_id"]
    fields = {"session": session, "loop": loop(3, 1, "print('setup')")}
    assert executor.run("i", kernel_id=kernel_id, **fields).state == "succeeded"
    executor.post(f"/sessions/{session}/restart")
    job = executor.run("i", kernel_id=kernel_id, **fields)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("lost", "kernel_replaced", False)
    assert [event["type"] for event in job.events] == ["finished"]


def test_many_iterations_in_batches_are_fast(executor: Executor, session: str) -> None:
    job = executor.run("i", session=session, loop=loop(100_000, 1000, "import time\nbegan = time.process_time()"))
    assert job.state == "succeeded"
    assert iterations(job) == list(range(100_000))
    assert len(batches(job)) == 100
    used = float(executor.run("print(time.process_time() - began)", session=session).stdout)
    assert used < 100_000 * 20e-6 * 2, "20 µs an iteration, doubled for a slow machine"


def test_a_loop_that_is_sent_again_runs_once(executor: Executor, session: str) -> None:
    executor.run("ran = 0", session=session)
    job_id = str(uuid.uuid4())
    body = {"code": "ran += 1", "session": session, "loop": loop(6, 2, "ran += 100")}
    assert [executor.call("PUT", f"/jobs/{job_id}", body).status for _ in range(3)] == [201, 200, 200]
    executor.follow(job_id)
    assert executor.run("print(ran)", session=session).stdout == "106\n"
    minimal = {**body, "loop": {"stop": 6, "batch_size": 2, "setup": "ran += 100"}}
    assert executor.call("PUT", f"/jobs/{job_id}", minimal).status == 200
    for change in ({"batch_size": 3}, {"batch_size": None}, {"setup": None}, {"setup": "ran += 1"}):
        other = {**body, "loop": {**body["loop"], **change}}  # type: ignore[dict-item]
        reply = executor.call("PUT", f"/jobs/{job_id}", other)
        assert (reply.status, reply.json["code"]) == (409, "job_conflict")


MALFORMED: list[tuple[str, Any]] = [
    ("batch_size", 0),
    ("cluster", "local:0"),
    ("cluster", "two words"),
    ("cluster", "http://127.0.0.1:8787"),
    ("worker_setup", 1),
    ("batch_size", -1),
    ("batch_size", MAX_BATCH_SIZE + 1),
    ("batch_size", 1.5),
    ("batch_size", "2"),
    ("batch_size", True),
    ("setup", 1),
    ("setup", ["x"]),
    ("setup", False),
    ("setup", "\ud800"),
    ("numbers", [1, 2]),
    ("numbers", [1, 2, -3]),
    ("numbers", [1, 2, 3.0]),
    ("numbers", [1, 2, True]),
    ("numbers", "123"),
]


@pytest.mark.parametrize(("field", "value"), MALFORMED)
def test_a_malformed_loop_is_refused(executor: Executor, field: str, value: Any) -> None:
    body = {"code": "1", "loop": {"stop": 3, field: value}}
    reply = executor.call("PUT", f"/jobs/{uuid.uuid4()}", body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")
    assert f"'loop.{field}'" in reply.json["detail"]
    assert reply.json["hint"]


@pytest.mark.fresh_kernel
def test_a_session_accepts_at_most_a_hundred_waiting_loops(executor: Executor, session: str) -> None:
    gate = executor.root / f"gate-{session}"
    hold = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    loops = [executor.submit("i", session=session, loop=loop(2000, 1)) for _ in range(99)]
    holding = executor.submit(hold, session=session)
    wait_until(lambda: executor.session(session)["running_job"] == holding)
    assert executor.session(session)["queued_jobs"] == 0
    executor.submit("1", session=session)
    reply = executor.call("PUT", f"/jobs/{uuid.uuid4()}", {"code": "1", "session": session})
    assert (reply.status, reply.json["code"]) == (409, "busy")
    for job_id in loops:
        executor.post(f"/jobs/{job_id}/interrupt")
    gate.touch()

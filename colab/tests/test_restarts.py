"""Several restarts of one session at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from harness import Executor, wait_until


@pytest.fixture
def session() -> str:
    return f"s-{uuid4()}"


def starting(executor: Executor, session: str) -> bool:
    return bool(executor.session(session)["state"] == "starting")


def test_restarts_at_once_are_one(executor: Executor, session: str) -> None:
    running = executor.submit("import time\nprint('asleep', flush=True)\ntime.sleep(600)", session=session)
    executor.wait_for_output(running, "asleep")
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: executor.call("POST", f"/sessions/{session}/restart"), range(4)))
    assert [reply.status for reply in replies] == [200] * 4, replies
    [kernel_id] = {reply.json["session"]["kernel_id"] for reply in replies}
    assert [job for reply in replies for job in reply.json["ended_jobs"]] == [running]
    assert executor.session(session)["kernel_id"] == kernel_id
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_what_waits_for_a_new_kernel_is_ended_by_the_next_restart(executor: Executor, session: str) -> None:
    executor.run("1", session=session)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
        wait_until(lambda: starting(executor, session))
        waiting = executor.submit("print('ran')", session=session)
        second = executor.post(f"/sessions/{session}/restart")
        assert first.result().status == 200
    # It may have begun before the second restart came; then that is a restart of its own.
    ended = executor.follow(waiting)
    assert (ended.state, ended.stdout) in [("interrupted", ""), ("succeeded", "ran\n")]
    assert (waiting in second["ended_jobs"]) == (ended.state == "interrupted")


def test_a_session_deleted_while_it_restarts_answers_both(executor: Executor, session: str) -> None:
    for _ in range(3):
        executor.run("1", session=session)
        with ThreadPoolExecutor(2) as pool:
            restart = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
            delete = pool.submit(executor.call, "DELETE", f"/sessions/{session}")
            assert delete.result().status == 200
            assert restart.result().status in (200, 404)
        assert executor.call("DELETE", f"/sessions/{session}").status == 404


def test_a_session_whose_kernel_starts_is_clean_already(executor: Executor, session: str) -> None:
    executor.run("x = 1", session=session)
    with ThreadPoolExecutor(1) as pool:
        restart = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
        wait_until(lambda: starting(executor, session))
        done = executor.call("POST", "/cleanup", {"session": session})
        assert (done.status, done.json["cleared_variables"]) == (200, []), done.json
        assert executor.get(f"/variables?session={session}")["variables"] == []
        assert restart.result().status == 200


def test_a_session_whose_first_job_waits_for_its_kernel_is_busy(executor: Executor, session: str) -> None:
    job = executor.submit("import time\ntime.sleep(600)", session=session)
    assert executor.call("POST", "/cleanup", {"session": session}).status == 409
    # It is in the queue until the kernel is there, and runs after.
    shown = executor.session(session)
    assert (shown["queued_jobs"] == 1) != (shown["running_job"] == job)
    executor.post(f"/jobs/{job}/interrupt")

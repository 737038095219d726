"""Concurrent restarts of one session."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from harness import Executor, wait_until

from smart_colab_executor.jobs.job import Ending
from smart_colab_executor.kernels.channels import KernelChannels
from smart_colab_executor.kernels.executions import KernelNotStarted
from smart_colab_executor.sessions.session import Session

pytestmark = pytest.mark.fresh_kernel


def wait_for_the_start(executor: Executor, session: str, restart: Future[Any]) -> None:
    """Wait until the new kernel starts. On a busy machine it may be ready before anybody looks."""
    wait_until(lambda: executor.session(session)["state"] == "starting" or restart.done())


def test_concurrent_restarts_are_one(executor: Executor, session: str) -> None:
    running = executor.submit("import time\nprint('asleep', flush=True)\ntime.sleep(600)", session=session)
    executor.wait_for_output(running, "asleep")
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: executor.call("POST", f"/sessions/{session}/restart"), range(4)))
    assert [reply.status for reply in replies] == [200] * 4, replies
    [kernel_id] = {reply.json["session"]["kernel_id"] for reply in replies}
    assert [job for reply in replies for job in reply.json["ended_jobs"]] == [running]
    assert executor.session(session)["kernel_id"] == kernel_id
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_jobs_waiting_for_a_new_kernel_are_ended_by_the_next_restart(executor: Executor, session: str) -> None:
    executor.run("1", session=session)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
        wait_for_the_start(executor, session, first)
        # It may start before the second restart arrives, which is then a separate one.
        waiting = executor.submit("import time\ntime.sleep(600)", session=session)
        second = executor.post(f"/sessions/{session}/restart")
        assert first.result().status == 200
    ended = executor.follow(waiting)
    assert (ended.state, ended.reason) == ("interrupted", "session_restarted")
    assert waiting in second["ended_jobs"]


def test_deleting_a_restarting_session_answers_both_requests(executor: Executor, session: str) -> None:
    for _ in range(3):
        executor.run("1", session=session)
        with ThreadPoolExecutor(2) as pool:
            restart = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
            delete = pool.submit(executor.call, "DELETE", f"/sessions/{session}")
            assert delete.result().status == 200
            assert restart.result().status in (200, 404)
        assert executor.call("DELETE", f"/sessions/{session}").status == 404


class UnstartedKernel(KernelChannels):
    """A kernel whose start is cancelled before its first line runs, where it cannot say so."""

    is_adopted = False

    def __init__(self) -> None:
        super().__init__(1)
        self.starts = asyncio.Event()

    async def start(self) -> None:
        self.starts.set()
        await asyncio.Event().wait()

    async def _discard(self) -> None:
        self._context.destroy()


def test_a_start_that_has_not_yet_begun_can_be_ended() -> None:
    async def end_a_restart() -> None:
        kernel = UnstartedKernel()
        session = Session("s", lambda: kernel)
        restart = asyncio.create_task(session.restart())
        await kernel.starts.wait()
        await session.end(Ending("interrupted", "session_deleted"))
        with pytest.raises(KernelNotStarted):
            await restart

    asyncio.run(end_a_restart())


def test_cleanup_of_a_starting_session_has_nothing_to_do(executor: Executor, session: str) -> None:
    executor.run("x = 1", session=session)
    with ThreadPoolExecutor(1) as pool:
        restart = pool.submit(executor.call, "POST", f"/sessions/{session}/restart")
        wait_for_the_start(executor, session, restart)
        done = executor.call("POST", "/cleanup", {"session": session})
        assert (done.status, done.json["cleared_variables"]) == (200, []), done.json
        assert executor.get(f"/variables?session={session}")["variables"] == []
        assert restart.result().status == 200


def test_cleanup_of_a_starting_session_with_a_job_is_refused(executor: Executor, session: str) -> None:
    job = executor.submit("import time\ntime.sleep(600)", session=session)
    assert executor.call("POST", "/cleanup", {"session": session}).status == 409
    # It is queued until the kernel is ready, and then runs.
    shown = executor.session(session)
    assert (shown["queued_jobs"] == 1) != (shown["running_job"] == job)
    executor.post(f"/jobs/{job}/interrupt")

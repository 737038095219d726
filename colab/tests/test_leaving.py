"""Kernels that exit at their code's request: no job is lost with one, and none runs in it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from harness import Executor, Finished, wait_until

LIVING_THREAD = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
STOP_LOOP = "import asyncio\nasyncio.get_event_loop().stop()"
LEAVES_LATER = "get_ipython().ask_exit()\nprint('in', flush=True)\nimport time\ntime.sleep(600)"
# In a loop, the exit ends it whatever the code does.
EXIT_IN_A_CALLBACK = "import asyncio, sys\nasyncio.get_event_loop().call_later({}, sys.exit)\nNone"


def ended(job: Finished) -> tuple[str, str | None, bool]:
    return (job.state, job.reason, job.job["variables_lost"])


@pytest.mark.parametrize(
    "code",
    [
        "exit()",
        "quit()",
        "get_ipython().ask_exit()",
        "get_ipython().kernel.do_shutdown(False)",
        STOP_LOOP,
        "get_ipython().kernel.io_loop.stop()",
        "import threading\nt = threading.Thread(target=exit)\nt.start()\nt.join()",
        f"{LIVING_THREAD}exit()",
        LIVING_THREAD + STOP_LOOP,
    ],
)
def test_an_exiting_job_is_marked_and_the_next_has_a_fresh_kernel(executor: Executor, session: str, code: str) -> None:
    job = executor.run(f"mine = 1\nprint('said', flush=True)\n{code}", session=session)
    assert ended(job) == ("succeeded", "exited", True)
    assert job.stdout == "said\n"
    job = executor.run("print('mine' in globals())", session=session)
    assert (ended(job), job.stdout) == (("succeeded", None, False), "False\n")


def test_the_bare_name_exits_too(executor: Executor, session: str) -> None:
    executor.run(LIVING_THREAD, session=session)
    assert ended(executor.run("quit", session=session)) == ("succeeded", "exited", True)
    assert executor.run("print(1)", session=session).stdout == "1\n"


@pytest.mark.parametrize(
    "code",
    [
        "exit()\nprint('on')",
        "quit()\nprint('on')",
        "def stop():\n    exit()\nfor k in range(3):\n    stop()\n    print('on')",
        "try:\n    exit()\nexcept Exception:\n    print('on')",
        "import asyncio\nasync def stop():\n    exit()\nawait stop()\nprint('on')",
        "%%time\nexit()\nprint('on')",
        "import threading\nt = threading.Thread(target=lambda: [exit(), print('on')])\nt.start()\nt.join()",
    ],
)
def test_nothing_runs_after_the_exit(executor: Executor, session: str, code: str) -> None:
    job = executor.run(code, session=session)
    assert (ended(job), job.stdout, job.of("error")) == (("succeeded", "exited", True), "", [])


@pytest.mark.parametrize("call", ["exit(1)", "quit(1)", "exit(0)", "exit('no data')", "exit(True)", "exit(code=3)"])
def test_an_exit_with_a_code_stops_only_its_cell(executor: Executor, session: str, call: str) -> None:
    job = executor.run(f"mine = 1\n{call}\nprint('on')", session=session)
    assert (ended(job), job.stdout) == (("failed", "python_error", False), "")
    [error] = job.of("error")
    assert error["ename"] == "SystemExit"
    assert error["evalue"] in call
    assert executor.run("print(mine)", session=session).stdout == "1\n"


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_an_exit_with_a_code_stops_a_loop(executor: Executor, session: str, on_error: str) -> None:
    body = "if i == 1:\n    exit(3)\nprint(i)"
    job = executor.run(body, session=session, loop={"stop": 3, "on_error": on_error})
    assert (ended(job), job.stdout) == (("failed", "python_error", False), "0\n")


def test_an_exit_in_a_script_or_module_ends_only_that(executor: Executor, session: str) -> None:
    (executor.root / "leaves_early.py").write_text("print('in')\nexit()\nprint('never')")
    job = executor.run("%run leaves_early.py\nprint('on')", session=session)
    assert (ended(job), job.stdout) == (("succeeded", None, False), "in\non\n")
    job = executor.run("import sys; sys.path.insert(0, '.')\nimport leaves_early", session=session)
    assert (job.state, job.of("error")[0]["ename"], job.stdout) == ("failed", "SystemExit", "in\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no forks")
def test_an_exit_in_a_forked_process_ends_only_that(executor: Executor, session: str) -> None:
    code = "import os\npid = os.fork()\nif not pid:\n    exit(7)\nprint(os.waitpid(pid, 0)[1] >> 8)"
    job = executor.run(code, session=session)
    assert (ended(job), job.stdout) == (("succeeded", None, False), "7\n")


def test_all_output_of_an_exiting_cell_is_kept(executor: Executor, session: str) -> None:
    code = "get_ipython().ask_exit()\nfor k in range(100_000):\n    print(k)\n'last'"
    job = executor.run(code, session=session)
    assert ended(job) == ("succeeded", "exited", True)
    assert job.stdout == "".join(f"{k}\n" for k in range(100_000))
    assert job.of("execute_result")[0]["data"]["text/plain"] == "'last'"


def test_exit_with_keep_kernel_keeps_the_kernel(executor: Executor, session: str) -> None:
    job = executor.run("mine = 1\nexit(keep_kernel=True)\nmine = 2", session=session)
    assert ended(job) == ("succeeded", None, False)
    assert executor.run("print(mine)", session=session).stdout == "1\n"


def test_jobs_queued_behind_exiting_ones_run_once_in_fresh_kernels(executor: Executor, session: str) -> None:
    first = executor.submit("import time\ntime.sleep(0.5)\nexit()", session=session)
    codes = ["print(1)", "print(2)\nexit()", "print(3)", "1 / 0", "print(5)"]
    later = [executor.submit(code, session=session) for code in codes]
    assert ended(executor.follow(first)) == ("succeeded", "exited", True)
    jobs = [executor.follow(job_id) for job_id in later]
    assert [job.stdout for job in jobs] == ["1\n", "2\n", "3\n", "", "5\n"]
    assert [job.reason for job in jobs] == [None, "exited", None, "python_error", None]
    kernels = [job.job["kernel_id"] for job in jobs]
    assert kernels[0] == kernels[1] != kernels[2] == kernels[3] == kernels[4]


def test_a_job_meant_for_an_exited_kernel_does_not_run(executor: Executor, session: str) -> None:
    kernel = executor.run("exit()", session=session).job["kernel_id"]
    job = executor.run("print('ran')", session=session, kernel_id=kernel)
    assert (job.state, job.reason, job.stdout) == ("lost", "kernel_replaced", "")


def test_an_exception_after_an_exit_request_is_reported(executor: Executor, session: str) -> None:
    job = executor.run("try:\n    exit()\nfinally:\n    1 / 0", session=session)
    assert ended(job) == ("failed", "python_error", True)
    assert job.of("error")[0]["ename"] == "ZeroDivisionError"


def test_an_exiting_cell_can_be_interrupted(executor: Executor, session: str) -> None:
    job_id = executor.submit(LEAVES_LATER, session=session)
    executor.wait_for_output(job_id, "in")
    executor.post(f"/jobs/{job_id}/interrupt")
    assert ended(executor.follow(job_id)) == ("interrupted", "interrupted", True)
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_an_exiting_cell_can_time_out(executor: Executor, session: str) -> None:
    job = executor.run(LEAVES_LATER, session=session, timeout_sec=1)
    assert ended(job) == ("timed_out", "timeout", True)


@pytest.mark.parametrize("before", ["", LIVING_THREAD], ids=["alone", "with a living thread"])
@pytest.mark.parametrize(
    "code",
    [STOP_LOOP.replace("stop()", "call_later(0.1, asyncio.get_event_loop().stop)"), EXIT_IN_A_CALLBACK.format(0.1)],
    ids=["stop", "exit"],
)
def test_a_kernel_that_exits_between_jobs_is_replaced_before_the_next(
    executor: Executor, session: str, before: str, code: str
) -> None:
    kernel = executor.run(before + code, session=session).job["kernel_id"]
    wait_until(lambda: executor.session(session)["kernel_id"] != kernel)
    job = executor.run("print('threading' in globals())", session=session)
    assert (ended(job), job.stdout) == (("succeeded", None, False), "False\n")


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.01, 0.03])
def test_jobs_sent_to_an_exiting_kernel_run_once(executor: Executor, session: str, after: float) -> None:
    """Each job finishes in the old kernel or runs in a fresh one: an exit during a cell lets it finish."""
    code = STOP_LOOP.replace("stop()", f"call_later({after}, asyncio.get_event_loop().stop)") + "\nNone"
    executor.run(code, session=session)
    jobs = [executor.follow(executor.submit(f"print({k})", session=session)) for k in range(4)]
    assert [job.stdout for job in jobs] == ["0\n", "1\n", "2\n", "3\n"]
    assert {job.state for job in jobs} == {"succeeded"}


@pytest.mark.parametrize("code", ["exit()", "quit()", STOP_LOOP.replace("\n", "; ")])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_loop_ends_at_the_iteration_that_exits(executor: Executor, session: str, code: str, on_error: str) -> None:
    body = f"print(i)\nif i == 2:\n    {code}\ni"
    job = executor.run(body, session=session, loop={"stop": 9, "on_error": on_error})
    assert ended(job) == ("failed", "exited", True)
    assert (job.stdout, [event["completed"] for event in job.of("progress")]) == ("0\n1\n2\n", [1, 2])
    [error] = job.of("error")
    assert error["ename"] == "ExitCalled"
    text = "\n".join(error["traceback"])
    assert not any(word in text for word in ("_smart_colab", "IPython/", "ipykernel/", "traitlets"))
    assert executor.run("print('i' in globals())", session=session).stdout == "False\n"


def test_an_iteration_that_requests_an_exit_and_finishes_is_reported(executor: Executor, session: str) -> None:
    body = "try:\n    exit()\nexcept BaseException:\n    pass\ni"
    job = executor.run(body, session=session, loop={"stop": 9})
    assert ended(job) == ("failed", "exited", True)
    assert [event["result"] for event in job.of("progress")] == [0]


def test_a_session_can_be_restarted_while_its_kernel_exits(executor: Executor, session: str) -> None:
    job_id = executor.submit(LEAVES_LATER, session=session)
    executor.wait_for_output(job_id, "in")
    executor.post(f"/sessions/{session}/restart")
    assert ended(executor.follow(job_id)) == ("interrupted", "session_restarted", True)
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_a_restarted_executor_knows_the_exited_jobs(start: Callable[..., Executor]) -> None:
    first = start()
    job_id = first.submit("print(1)\nexit()")
    first.follow(job_id)
    first.process.terminate()
    first.process.wait(20)
    assert ended(start().follow(job_id)) == ("succeeded", "exited", True)

"""Interrupts reach the user's code: each exactly once, and none is lost."""

from __future__ import annotations

import os

import pytest
from harness import Executor

SESSION = "interrupts"
# A hook that IPython runs before a cell's first line; it swallows an interrupt.
HOOK = """
import signal, time
def wait(info):
    get_ipython().events.unregister("pre_run_cell", wait)
    print("in the hook", flush=True)
    while {condition}:
        time.sleep(0.01)
get_ipython().events.register("pre_run_cell", wait)
kept = 1
"""
# Otherwise a slow machine is still in the hook at the repeated signal, which may then be raised there.
ONE_SIGNAL_ALONE = "import sys\nsys.modules['_smart_colab.interrupts'].WAKE_AFTER_SEC = ()\n"
UNTIL_IT_IS_KEPT = "not signal.getsignal(signal.SIGINT).__self__._is_due"
needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows wakes what sleeps")


def interrupt(executor: Executor, job_id: str, when: str) -> None:
    executor.wait_for_output(job_id, when)
    executor.post(f"/jobs/{job_id}/interrupt")


@pytest.mark.parametrize(
    ("code", "takes_it"),
    [
        ("print('ran')\nimport time\ntime.sleep(600)", True),
        ("'shown'", True),
        ("# no line to raise it in", False),
    ],
)
def test_an_interrupt_before_the_first_line_is_raised_in_it(executor: Executor, code: str, takes_it: bool) -> None:
    session = "interrupted-once"
    executor.run(ONE_SIGNAL_ALONE + HOOK.format(condition=UNTIL_IT_IS_KEPT), session=session)
    job_id = executor.submit(code, session=session)
    interrupt(executor, job_id, "in the hook")
    job = executor.follow(job_id)
    assert job.state == ("interrupted" if takes_it else "succeeded")
    assert "ran" not in job.stdout.splitlines()
    assert job.of("execute_result") == []
    assert executor.run("print(kept)", session=session).stdout == "1\n"


@needs_signals
def test_a_hang_before_the_first_line_is_interrupted_with_the_code(executor: Executor) -> None:
    executor.run(HOOK.format(condition=True), session=SESSION)
    job_id = executor.submit("print('ran')", session=SESSION)
    interrupt(executor, job_id, "in the hook")
    job = executor.follow(job_id)
    assert (job.state, job.job["variables_lost"]) == ("interrupted", False)
    assert "ran" not in job.stdout.splitlines()
    assert executor.run("print(kept)", session=SESSION).stdout == "1\n"


def test_code_that_just_started_can_clean_up_after_an_interrupt(executor: Executor) -> None:
    code = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n"
    job_id = executor.submit(code + "    time.sleep(1.5)\n    print('saved')", session=SESSION)
    interrupt(executor, job_id, "begun")
    job = executor.follow(job_id)
    assert (job.state, job.stdout) == ("succeeded", "begun\nsaved\n")


@needs_signals
def test_an_interrupt_received_by_another_thread_wakes_a_sleep(executor: Executor) -> None:
    code = "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
    job_id = executor.submit(code + "print('deaf', flush=True)\ntime.sleep(600)", session=SESSION)
    interrupt(executor, job_id, "deaf")
    assert executor.follow(job_id).state == "interrupted"
    executor.call("DELETE", f"/sessions/{SESSION}")


@needs_signals
def test_a_users_handler_runs_once_and_may_restore_the_old_one(executor: Executor) -> None:
    code = """
import signal, time
asked = []
def stop_softly(*_):
    asked.append(1)
    signal.signal(signal.SIGINT, old)
old = signal.signal(signal.SIGINT, stop_softly)
print("begun", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(1.5)
print("saved", len(asked), old is signal.default_int_handler)
"""
    job_id = executor.submit(code, session=SESSION)
    interrupt(executor, job_id, "begun")
    assert executor.follow(job_id).stdout == "begun\nsaved 1 True\n"


@needs_signals
def test_an_interrupt_does_not_reach_the_next_cell(executor: Executor) -> None:
    job_id = executor.submit("print('begun', flush=True)\nimport time\ntime.sleep(600)", session=SESSION)
    interrupt(executor, job_id, "begun")
    assert executor.follow(job_id).state == "interrupted"
    assert executor.run("import time\ntime.sleep(1.5)\nprint('whole')", session=SESSION).stdout == "whole\n"


@pytest.mark.parametrize(
    "takes_it",
    [
        "except KeyboardInterrupt:\n    raise RuntimeError('Query interrupted') from None",
        "except KeyboardInterrupt:\n    import asyncio\n    raise asyncio.CancelledError from None",
        "finally:\n    pass",
    ],
    ids=["a library's own error", "cancelled", "raised on"],
)
@pytest.mark.parametrize("wait", ["time.sleep(600)", "await asyncio.sleep(600)"])
def test_a_job_is_interrupted_whatever_exception_it_raises(executor: Executor, wait: str, takes_it: str) -> None:
    if "await" in wait:
        takes_it = takes_it.replace("except KeyboardInterrupt", "except asyncio.CancelledError")
    code = f"import asyncio, time\ntry:\n    print('begun', flush=True)\n    {wait}\n{takes_it}"
    job_id = executor.submit(code, session=SESSION)
    interrupt(executor, job_id, "begun")
    job = executor.follow(job_id)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("interrupted", "interrupted", False)
    assert executor.run("print(1)", session=SESSION).stdout == "1\n"


@pytest.mark.parametrize(
    "cell", ["%%capture\n{}", "open('slow.py', 'w').write({!r})\n%run slow.py"], ids=["capture", "run"]
)
def test_an_interrupt_shown_by_a_magic_counts_as_interrupted(executor: Executor, cell: str) -> None:
    code = "import os, time\nos.write(1, b'begun\\n')\ntime.sleep(600)"
    job_id = executor.submit(cell.format(code), session=SESSION)
    interrupt(executor, job_id, "begun")
    assert executor.follow(job_id).state == "interrupted"

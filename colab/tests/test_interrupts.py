"""Interrupts come to the user's code: each once, and none is lost on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.interrupts import PATIENCE_SEC, Interrupts

SESSION = "interrupts"


@pytest.fixture
def hook(executor: Executor, tmp_path: Path) -> Path:
    """A file that IPython waits for before a cell's first line; an interrupt in there goes no further."""
    file = tmp_path / "go on"
    executor.run(
        f"""
import pathlib, time
def wait_for_file(info):
    get_ipython().events.unregister("pre_run_cell", wait_for_file)
    print("in the hook", flush=True)
    while not pathlib.Path({str(file)!r}).exists():
        time.sleep(0.01)
get_ipython().events.register("pre_run_cell", wait_for_file)
""",
        session=SESSION,
    )
    return file


@pytest.mark.parametrize(
    "code",
    [
        "print('ran')\nimport time\ntime.sleep(600)",
        "import asyncio\nawait asyncio.sleep(600)\nprint('ran')",
        "'shown'",
    ],
)
def test_one_that_comes_before_the_first_line_is_raised_in_it(executor: Executor, hook: Path, code: str) -> None:
    job_id = executor.submit(code, session=SESSION)
    executor.wait_for_output(job_id, "in the hook")
    executor.post(f"/jobs/{job_id}/interrupt")
    hook.touch()
    job = executor.follow(job_id)
    assert (job.state, job.stdout, job.of("execute_result")) == ("interrupted", "in the hook\n", [])
    assert executor.run("print('next')", session=SESSION).stdout == "next\n"


def test_code_that_has_only_just_begun_can_tidy_up_after_one(executor: Executor) -> None:
    code = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n"
    job_id = executor.submit(code + "    time.sleep(1.5)\n    print('saved')", session=SESSION)
    executor.wait_for_output(job_id, "begun")
    executor.post(f"/jobs/{job_id}/interrupt")
    assert executor.follow(job_id).stdout == "begun\nsaved\n"


def test_one_that_nobody_waited_for_does_not_come_to_the_next_cell(executor: Executor, hook: Path) -> None:
    job_id = executor.submit("# no line to raise it in", session=SESSION)
    executor.wait_for_output(job_id, "in the hook")
    executor.post(f"/jobs/{job_id}/interrupt")
    hook.touch()
    executor.follow(job_id)
    assert executor.run("print('next')", session=SESSION).stdout == "next\n"


@pytest.fixture
def shell() -> Iterator[Any]:
    """The parts of a kernel's shell that interrupts are about, in this process."""

    async def run_code(code: Any, result: Any = None, *, async_: bool = False) -> None:
        code()

    before = signal.getsignal(signal.SIGINT)
    yield SimpleNamespace(run_code=run_code, kernel=SimpleNamespace(pre_handler_hook=lambda: None))
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows wakes what sleeps")
def test_one_that_python_does_not_see_is_sent_again(shell: Any) -> None:
    interrupts = Interrupts(shell)

    def code() -> None:
        interrupts.insist(time.monotonic())
        time.sleep(600)

    shell.kernel.pre_handler_hook()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(shell.run_code(code))


@pytest.mark.skipif(os.name == "nt", reason="this process sends the signal to itself")
def test_one_that_python_has_seen_is_not_sent_again(shell: Any) -> None:
    interrupts = Interrupts(shell)

    def code() -> None:
        sent_at = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.insist(sent_at)
        time.sleep(3 * PATIENCE_SEC)

    shell.kernel.pre_handler_hook()
    asyncio.run(shell.run_code(code))


@pytest.mark.parametrize("is_noticed_late", [False, True])
def test_one_that_its_cell_did_not_live_to_see_is_not_sent_to_the_next(shell: Any, is_noticed_late: bool) -> None:
    interrupts = Interrupts(shell)
    shell.kernel.pre_handler_hook()
    sent_at = time.monotonic()
    if not is_noticed_late:
        interrupts.insist(sent_at)
    shell.kernel.pre_handler_hook()
    if is_noticed_late:
        interrupts.insist(sent_at)
    asyncio.run(shell.run_code(lambda: time.sleep(3 * PATIENCE_SEC)))


def test_a_handler_of_the_users_own_is_left_to_itself(shell: Any) -> None:
    interrupts, heard = Interrupts(shell), []

    def code() -> None:
        signal.signal(signal.SIGINT, lambda *_: heard.append(1))
        interrupts.insist(time.monotonic())
        time.sleep(3 * PATIENCE_SEC)

    shell.kernel.pre_handler_hook()
    asyncio.run(shell.run_code(code))
    assert heard == []

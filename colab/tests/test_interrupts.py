"""Interrupts come to the user's code: each once, and none is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Executor

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

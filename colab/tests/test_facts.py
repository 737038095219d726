"""What a job says of itself: of its own kernel, of the session that it made, of commands that failed."""

from __future__ import annotations

import sys

import pytest
from harness import Executor


def test_a_jobs_memory_is_its_own_kernels(executor: Executor, session: str) -> None:
    executor.run("1", session=session)
    # Another process takes memory meanwhile, and one that the code starts.
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c',"
        " \"import time; held = b'x' * 200_000_000; print(flush=True); time.sleep(600)\"], stdout=-1)\n"
        "child.stdout.readline()"
    )
    for sent, low, high in [
        ("held = b'x' * 200_000_000", 180, 220),
        (code, -10, 60),
        ("del held", -220, -180),
        ("child.kill()\nchild.wait()\nchild.stdout.close()", -60, 60),
    ]:
        [finished] = executor.run(sent, session=session).of("finished")
        assert low < finished["memory_delta_mb"] < high, sent


def test_a_kernel_that_is_gone_has_no_memory_to_compare(executor: Executor, session: str) -> None:
    [finished] = executor.run("import os\nos._exit(1)", session=session).of("finished")
    assert finished["memory_delta_mb"] is None
    assert finished["memory_after_gb"] > 0


@pytest.mark.fresh_kernel
def test_only_the_job_that_made_a_session_says_so(executor: Executor, session: str) -> None:
    first = executor.submit("1", session=session)
    assert executor.follow(first).job["new_session"] is True
    # The same job, sent again.
    again = executor.call("PUT", f"/jobs/{first}", {"code": "1", "session": session})
    assert again.json["job"]["new_session"] is True
    assert executor.run("2", session=session).job["new_session"] is False
    assert executor.run("3").job["new_session"] is False, "main is always there"
    executor.call("DELETE", f"/sessions/{session}")
    assert executor.run("4", session=session).job["new_session"] is True


@pytest.mark.skipif(sys.platform == "win32", reason="IPython's own runs commands there")
@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("!exit 3", 3),
        ("!exit 3\n!exit 4\n!true", 4),
        ("for code in (5, 0): get_ipython().system(f'exit {code}')", 5),
        ("!kill -15 $$", -15),
        ("!true", None),
        ("print(1)", None),
        ("!exit 3\n1 / 0", 3),
    ],
)
def test_a_command_that_failed_leaves_its_exit_code(
    executor: Executor, session: str, code: str, exit_code: int | None
) -> None:
    [finished] = executor.run(code, session=session).of("finished")
    assert finished["exit_code"] == exit_code
    [next_one] = executor.run("pass", session=session).of("finished")
    assert next_one["exit_code"] is None

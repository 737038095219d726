"""How a kernel died, what it said last, and what comes after it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from harness import Executor, wait_until

from smart_colab_executor.kernels import memory_watch
from smart_colab_executor.kernels.memory_watch import MemoryWatch, oom_kills
from smart_colab_executor.machine import probe

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")


@pytest.fixture
def session(executor: Executor) -> Iterator[str]:
    """A session of the test's own."""
    name = f"d-{uuid.uuid4().hex[:8]}"
    yield name
    executor.call("DELETE", f"/sessions/{name}")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_signals) for name in ("SIGKILL", "SIGSEGV", "SIGABRT")]
)
def test_the_signal_that_ended_a_kernel_is_told(executor: Executor, session: str, name: str) -> None:
    job = executor.run(f"import os, signal\nos.kill(os.getpid(), signal.{name})", session=session)
    assert (job.state, job.reason) == ("failed", "kernel_died")
    expected = {"signal": name, "code": None, "out_of_memory": False}
    assert job.job["kernel_exit"] == job.events[-1]["kernel_exit"] == expected


@pytest.mark.parametrize("code", [0, 3])
def test_the_code_that_a_kernel_ended_with_is_told(executor: Executor, session: str, code: int) -> None:
    job = executor.run(f"import os\nos._exit({code})", session=session)
    assert job.job["kernel_exit"] == {"signal": None, "code": code, "out_of_memory": False}


def test_a_kernel_that_was_ended_on_purpose_has_no_exit_to_tell(executor: Executor, session: str) -> None:
    fine = executor.run("1", session=session)
    stubborn = (
        "import time\nwhile True:\n    try:\n        time.sleep(600)\n    except KeyboardInterrupt:\n        pass"
    )
    killed = executor.run(stubborn, session=session, timeout_sec=1)
    job_id = executor.submit("print('on', flush=True)\nimport time\ntime.sleep(600)", session=session)
    executor.wait_for_output(job_id, "on")
    executor.post(f"/sessions/{session}/restart")
    restarted = executor.follow(job_id)
    for job, reason in ((fine, None), (killed, "timeout"), (restarted, "session_restarted")):
        assert (job.reason, job.job["kernel_exit"], job.events[-1]["kernel_exit"]) == (reason, None, None)


@needs_signals
@pytest.mark.parametrize(
    "replace",
    [
        "os.execv('/bin/sh', ['sh', '-c', 'echo after; exit 3'])",
        "os.execle('/bin/sh', 'sh', '-c', 'echo after; exit 3', os.environ)",
        "os.execvp('sh', ['sh', '-c', 'echo after; exit 3'])",
    ],
)
def test_a_process_that_becomes_another_program_says_so(executor: Executor, session: str, replace: str) -> None:
    job = executor.run(f"import os\nprint('before')\n{replace}", session=session)
    assert (job.reason, job.job["kernel_exit"]["code"]) == ("kernel_died", 3)
    assert job.streams["stdout"] == "before\nafter\n"
    assert "/sh runs in the place of this Python process, whose variables are gone]\n" in job.streams["stderr"]


@needs_signals
def test_only_the_kernels_own_process_says_that_it_becomes_another_program(executor: Executor, session: str) -> None:
    code = """
import os
os.spawnlp(os.P_WAIT, "true", "true")
for program in ("no such program", "/", "/etc/passwd"):
    try:
        os.execvp(program, ["x"])
    except OSError:
        print("no")
"""
    job = executor.run(code, session=session)
    assert (job.state, job.stdout) == ("succeeded", "no\nno\nno\n")
    assert "in the place of" not in job.streams["stderr"]


@needs_signals
def test_a_job_ends_with_its_kernel_and_a_new_one_comes_unasked(executor: Executor, session: str) -> None:
    # Not only at its timeout, which the test would not live to see.
    job = executor.run("import os\nprint('on', flush=True)\nos.kill(os.getpid(), 9)", session=session)
    assert (job.stdout, job.reason) == ("on\n", "kernel_died")
    wait_until(lambda: executor.session(session)["state"] == "idle")
    assert executor.session(session)["kernel_id"] not in (None, job.job["kernel_id"])


@needs_signals
def test_a_kernel_that_is_ended_from_outside_is_told(executor: Executor, session: str) -> None:
    job_id = executor.submit("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)", session=session)
    executor.wait_for_output(job_id, "\n")
    psutil.Process(int(executor.call("GET", f"/jobs/{job_id}/log").body)).kill()
    job = executor.follow(job_id)
    assert (job.reason, job.job["kernel_exit"]["signal"]) == ("kernel_died", "SIGKILL")


@pytest.mark.parametrize("flush", [True, False])
def test_what_was_printed_before_an_exit_is_heard(executor: Executor, session: str, flush: bool) -> None:
    for k in range(5):
        job = executor.run(f"import os\nprint('last', {k}, flush={flush})\nos._exit(1)", session=session)
        assert (job.stdout, job.reason) == (f"last {k}\n", "kernel_died")


@pytest.mark.skipif(sys.platform == "win32", reason="cannot fork")
def test_a_forked_process_exits_at_once(executor: Executor, session: str) -> None:
    code = """
import os, sys
sys.modules["_smart_colab.kernel_output"].LAST_WORDS_SEC = 3600  # how long a kernel waits to be heard
if os.fork() == 0:
    os._exit(7)
print(os.WEXITSTATUS(os.wait()[1]))
"""
    assert executor.run(code, session=session).stdout == "7\n"


@pytest.mark.parametrize(
    ("code", "kept"),
    [("sum(range(10**12))", False), ("while True: pass", True)],
    ids=["inside one call", "in Python"],
)
def test_code_that_computes_for_ever_is_gone_after_its_timeout(
    executor: Executor, session: str, code: str, kept: bool
) -> None:
    kernel = int(executor.run("import os\nmine = 1\nprint(os.getpid())", session=session).stdout)
    before = {process.pid for process in executor.kernels()}
    job = executor.run(code, session=session, timeout_sec=1)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("timed_out", "timeout", not kept)
    after = executor.run("print('mine' in globals(), os.getpid() if 'os' in globals() else 0)", session=session)
    assert after.stdout == (f"True {kernel}\n" if kept else "False 0\n")
    # One process for it as before, and nothing that computes on.
    assert len(executor.kernels()) == len(before)
    assert (kernel in {process.pid for process in executor.kernels()}) is kept
    kernels = psutil.Process(executor.process.pid).children(recursive=True)
    wait_until(lambda: sum(process.cpu_percent(0.2) for process in kernels) < 50)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_systems_kills_are_counted_in_our_own_group_first(tmp_path: Path) -> None:
    whole = write(tmp_path / "vmstat", "oom_kill_other 1\noom_kill 7\nswap_ra 2\n")
    version_2 = write(tmp_path / "2", "0::/ours\n")
    version_1 = write(tmp_path / "1", "5:cpu,memory:/ours\n0::/\n")
    assert oom_kills(version_2, tmp_path / "none", whole) == 7
    assert oom_kills(tmp_path / "none", tmp_path, whole) == 7
    assert oom_kills(tmp_path / "none", tmp_path, tmp_path / "none") == 0
    write(tmp_path / "c" / "memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 1\n")
    assert oom_kills(version_2, tmp_path / "c", whole) == 3, "a container sees its group at the root"
    write(tmp_path / "c" / "ours" / "memory.events", "oom_kill 2\n")
    assert oom_kills(version_2, tmp_path / "c", whole) == 2
    write(tmp_path / "c" / "memory" / "ours" / "memory.oom_control", "under_oom 0\noom_kill 5\n")
    assert oom_kills(version_1, tmp_path / "c", whole) == 5


@pytest.mark.parametrize(
    ("signal", "used_pct", "kills", "expected"),
    [
        ("SIGKILL", 50.0, 0, False),
        ("SIGKILL", 95.0, 0, True),
        ("SIGSEGV", 95.0, 0, False),
        (None, 95.0, 0, False),
        ("SIGKILL", 50.0, 1, True),
    ],
)
def test_a_kill_for_memory_is_known(
    monkeypatch: pytest.MonkeyPatch, signal: str | None, used_pct: float, kills: int, expected: bool
) -> None:
    counted = iter([4, 4 + kills])
    monkeypatch.setattr(memory_watch, "oom_kills", lambda: next(counted))
    fullness = iter([used_pct, 20.0])
    monkeypatch.setattr(probe, "memory", lambda: probe.Memory(1.0, 2.0, next(fullness)))
    watch = MemoryWatch()
    watch.begin(probe.Memory(1.0, 2.0, 10.0))
    watch.look()
    watch.look()
    assert watch.explains(signal) is expected

"""Deaths of kernels: their causes, their last output, and the new kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from harness import Executor, wait_until

from smart_colab_executor.kernels import memory_watch
from smart_colab_executor.kernels.memory_watch import MemoryWatch, oom_kills
from smart_colab_executor.machine import probe

pytestmark = pytest.mark.fresh_kernel

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_signals) for name in ("SIGKILL", "SIGSEGV", "SIGABRT")]
)
def test_the_signal_that_ended_a_kernel_is_reported(executor: Executor, session: str, name: str) -> None:
    job = executor.run(f"import os, signal\nos.kill(os.getpid(), signal.{name})", session=session)
    assert (job.state, job.reason) == ("failed", "kernel_died")
    expected = {"signal": name, "code": None, "out_of_memory": False}
    assert job.job["kernel_exit"] == job.events[-1]["kernel_exit"] == expected


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_a_kernel_is_reported(executor: Executor, session: str, code: int) -> None:
    job = executor.run(f"import os\nos._exit({code})", session=session)
    assert job.job["kernel_exit"] == {"signal": None, "code": code, "out_of_memory": False}


def test_a_kernel_killed_on_purpose_has_no_kernel_exit(executor: Executor, session: str) -> None:
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
def test_a_process_replaced_by_exec_is_noted(executor: Executor, session: str, replace: str) -> None:
    job = executor.run(f"import os\nprint('before')\n{replace}", session=session)
    assert (job.reason, job.job["kernel_exit"]["code"]) == ("kernel_died", 3)
    assert job.streams["stdout"] == "before\nafter\n"
    assert "/sh replaces this Python process; its variables are gone]\n" in job.streams["stderr"]


@needs_signals
def test_exec_is_noted_only_in_the_kernels_own_process(executor: Executor, session: str) -> None:
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
    assert "replaces this Python process" not in job.streams["stderr"]


@needs_signals
def test_a_job_ends_with_its_kernel_and_a_new_kernel_starts(executor: Executor, session: str) -> None:
    # Not only at its timeout, which is longer than the test's own.
    job = executor.run("import os\nprint('on', flush=True)\nos.kill(os.getpid(), 9)", session=session)
    assert (job.stdout, job.reason) == ("on\n", "kernel_died")
    wait_until(lambda: executor.session(session)["state"] == "idle")
    assert executor.session(session)["kernel_id"] not in (None, job.job["kernel_id"])


@needs_signals
def test_a_kernel_killed_from_outside_is_reported(executor: Executor, session: str) -> None:
    job_id = executor.submit("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)", session=session)
    executor.wait_for_output(job_id, "\n")
    psutil.Process(int(executor.call("GET", f"/jobs/{job_id}/log").body)).kill()
    job = executor.follow(job_id)
    assert (job.reason, job.job["kernel_exit"]["signal"]) == ("kernel_died", "SIGKILL")


@pytest.mark.parametrize("flush", [True, False])
def test_text_printed_before_an_exit_is_received(executor: Executor, session: str, flush: bool) -> None:
    for k in range(5):
        job = executor.run(f"import os\nprint('last', {k}, flush={flush})\nos._exit(1)", session=session)
        assert (job.stdout, job.reason) == (f"last {k}\n", "kernel_died")


@pytest.mark.skipif(sys.platform == "win32", reason="cannot fork")
def test_a_forked_process_exits_at_once(executor: Executor, session: str) -> None:
    code = """
import os, sys
sys.modules["_smart_colab.kernel_output"].EXIT_TIMEOUT_SEC = 3600
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
def test_code_that_never_ends_is_killed_after_its_timeout(
    executor: Executor, session: str, code: str, kept: bool
) -> None:
    kernel = int(executor.run("import os\nmine = 1\nprint(os.getpid())", session=session).stdout)
    before = {process.pid for process in executor.kernels()}
    job = executor.run(code, session=session, timeout_sec=1)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("timed_out", "timeout", not kept)
    after = executor.run("print('mine' in globals(), os.getpid() if 'os' in globals() else 0)", session=session)
    assert after.stdout == (f"True {kernel}\n" if kept else "False 0\n")
    # One process for it as before, and nothing keeps computing.
    assert len(executor.kernels()) == len(before)
    assert (kernel in {process.pid for process in executor.kernels()}) is kept
    kernels = psutil.Process(executor.process.pid).children(recursive=True)
    wait_until(lambda: sum(process.cpu_percent(0.2) for process in kernels) < 50)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_out_of_memory_kills_are_counted_in_our_own_group_first(tmp_path: Path) -> None:
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
def test_a_kill_for_memory_is_detected(
    monkeypatch: pytest.MonkeyPatch, signal: str | None, used_pct: float, kills: int, expected: bool
) -> None:
    counted = iter([4, 4 + kills])
    monkeypatch.setattr(memory_watch, "oom_kills", lambda: next(counted))
    fullness = iter([used_pct, 20.0])
    monkeypatch.setattr(probe, "memory", lambda: probe.Memory(1.0, 2.0, next(fullness)))
    watch = MemoryWatch()
    watch.start(probe.Memory(1.0, 2.0, 10.0))
    watch.measure()
    watch.measure()
    assert watch.is_memory_kill(signal) is expected

"""An executor that nobody stops ends when it is not used, or with the process that it belongs to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from harness import PATIENCE, Executor

from smart_colab_executor.machine.endings import Endings


@contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started


def test_an_unused_executor_ends_but_not_during_a_job(start: Callable[..., Executor]) -> None:
    executor = start("--idle-exit-sec", "2")
    # Longer than that without a request: this one is held until the job has ended.
    finished = executor.run("import time; time.sleep(5); print('done')", timeout_sec=60)
    assert (finished.state, finished.stdout) == ("succeeded", "done\n")
    assert executor.process.wait(PATIENCE) == 0
    assert "no job and no request for 2 s" in executor.log.read_text()


def test_an_executor_ends_with_the_process_that_it_belongs_to(start: Callable[..., Executor]) -> None:
    with process() as owner:
        executor = start("--exit-with-pid", str(owner.pid))
        job = executor.submit("import time; print('on', flush=True); time.sleep(600)")
        executor.wait_for_output(job, "on")
        # Not waited for: a zombie has ended, too.
        owner.kill()
        assert executor.process.wait(PATIENCE) == 0
    again = start()
    assert again.get(f"/jobs/{job}")["job"]["reason"] == "executor_stopped"


def test_requests_and_jobs_put_the_end_off(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("smart_colab_executor.machine.endings.time.monotonic", lambda: now[0])
    idle = Endings(60, None)
    now[0] += 50
    idle.note_use()
    now[0] += 50
    assert idle.reason(is_busy=True) is None
    now[0] += 50
    assert idle.reason(is_busy=False) is None
    now[0] += 11
    assert idle.reason(is_busy=False) == "no job and no request for 60 s"


def test_a_process_that_is_gone_is_refused() -> None:
    with process() as gone:
        gone.kill()
    with pytest.raises(ValueError, match=f"there is no process {gone.pid}"):
        Endings(None, gone.pid)

"""Output of a kernel that its executor had not read when it was killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from harness import Executor, wait_until


@pytest.mark.parametrize("is_late", [False, True], ids=["of a running job", "after a job's end"])
def test_output_unread_by_a_killed_executor_is_recovered_by_the_next(
    start: Callable[..., Executor], tmp_path: Path, is_late: bool
) -> None:
    body = """
import sys, threading, time
from pathlib import Path
def work():
    print("heard", flush=True)
    while not Path("go on").exists():
        time.sleep(0.01)
    for i in range(200):
        print(i, 'äü€😀')
        print(i, file=sys.stderr)
    Path("said").touch()
    time.sleep(600)
"""
    first = start()
    job_id = first.submit(body + ("threading.Thread(target=work).start()" if is_late else "work()"))
    first.wait_for_output(job_id, "heard")
    if is_late:
        first.follow(job_id)
    psutil.Process(first.process.pid).suspend()
    (tmp_path / "go on").touch()
    wait_until((tmp_path / "said").exists)
    first.process.kill()
    first.process.wait()
    [journal] = (tmp_path / ".smart_colab" / "kernels").glob("*.journal")
    os.link(journal, tmp_path / "journal")
    # The last one finds everything reported although the journal exists, as if it could not be removed.
    for _ in range(2):
        executor = start()
        assert not journal.exists()
        os.link(tmp_path / "journal", journal)
        job = executor.follow(job_id)
        log = executor.call("GET", f"/jobs/{job_id}/log").body.decode()
        executor.process.kill()
        executor.process.wait()
        assert log.startswith("heard\n")
        assert "".join(line for line in log.splitlines(keepends=True) if "äü€😀" in line) == "".join(
            f"{i} äü€😀\n" for i in range(200)
        )
        assert log.count("\n") == 401
        if is_late:
            assert (job.state, job.streams) == ("succeeded", {"stdout": "heard\n", "stderr": ""})
        else:
            assert (job.state, job.reason) == ("lost", "executor_restarted")
            assert job.streams == {
                "stdout": "heard\n" + "".join(f"{i} äü€😀\n" for i in range(200)),
                "stderr": "".join(f"{i}\n" for i in range(200)),
            }

"""The state folder is removed while the executor runs."""

from __future__ import annotations

import shutil
import stat
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor, wait_until

from smart_colab_executor.machine import state_lock

Start = Callable[..., Executor]
RUNNING = """
import base64, pathlib, time
from IPython.display import display
print("before", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.01)
print("after")
display({"image/png": base64.b64encode(b"picture").decode()}, raw=True)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed there")


def remove(folder: Path) -> None:
    """Remove a folder in one step, as the executor may be recreating it."""
    shutil.rmtree(folder.rename(folder.with_name(f"removed-{uuid.uuid4()}")))


@pytest.mark.parametrize("removed", ["", "jobs"])
def test_running_and_waiting_jobs_are_kept_and_lost_output_is_reported(start: Start, removed: str) -> None:
    executor = start()
    old = executor.run("print('old')").job["id"]
    silent = executor.run("1").job["id"]
    running = executor.submit(RUNNING)
    executor.wait_for_output(running, "before")
    waiting = executor.submit("print('waited')")
    state = executor.root / ".smart_colab"
    remove(state / removed)
    for job in (old, silent):
        for path in ("events", "events?after=1", "log", "blobs/1"):
            reply = executor.call("GET", f"/jobs/{job}/{path}")
            assert (reply.status, reply.json["code"]) == (404, "not_found"), path
        assert executor.get(f"/jobs/{job}")["job"]["state"] == "succeeded"
    assert "removed" in executor.call("GET", f"/jobs/{old}/events").json["detail"]
    assert executor.call("GET", f"/jobs/{running}/events").status in (200, 503)
    wait_until(lambda: executor.call("GET", f"/jobs/{running}/events").status == 200)
    (executor.root / "go").touch()
    finished = executor.follow(running)
    assert (finished.state, finished.stdout) == ("succeeded", "before\nafter\n")
    assert executor.call("GET", f"/jobs/{running}/blobs/1").body == b"picture"
    assert executor.call("GET", f"/jobs/{running}/log").body.startswith(b"before\nafter\n")
    assert executor.follow(waiting).stdout == "waited\n"
    assert executor.run("print('new')").stdout == "new\n"
    if not removed:
        wait_until((state / "lock").exists)
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert executor.log.read_text().count("was removed") == 1
    assert "Traceback" not in executor.log.read_text()
    executor.post("/shutdown")
    executor.process.wait(40)
    second = start()
    assert second.follow(running).stdout == "before\nafter\n"
    assert second.call("GET", f"/jobs/{old}").status == 404


def test_a_job_that_ends_before_the_folder_is_recreated_is_kept(start: Start) -> None:
    executor = start()
    running = executor.submit(RUNNING)
    executor.wait_for_output(running, "before")
    (executor.root / "go").touch()
    remove(executor.root / ".smart_colab")
    wait_until(lambda: executor.get(f"/jobs/{running}")["job"]["state"] == "succeeded")
    assert executor.follow(running).stdout == "before\nafter\n"


def test_no_second_executor_takes_the_folder(start: Start) -> None:
    executor = start()
    state = executor.root / ".smart_colab"
    for _ in range(2):
        remove(state)
        with pytest.raises(BlockingIOError, match=r"another executor.*smart_colab"):
            state_lock.take(state, patience_sec=0)
        wait_until((state / "lock").exists)
        with pytest.raises(BlockingIOError, match="another executor"):
            state_lock.take(state, patience_sec=0)
    assert executor.run("print(1)").stdout == "1\n"
    executor.post("/shutdown")
    executor.process.wait(40)
    state_lock.take(state, patience_sec=0).close()

"""Events at awkward moments: during a restart, after the end of a cell, with a file in the way."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Executor, wait_until
from jupyter_client.manager import AsyncKernelManager

from smart_colab_executor.in_kernel.journal import LastWords
from smart_colab_executor.jobs.spool import Spool
from smart_colab_executor.kernels.executions import KernelNotStarted
from smart_colab_executor.kernels.kernel import Kernel
from smart_colab_executor.kernels.leftovers import KernelNotes
from smart_colab_executor.kernels.workspace import Workspace

pytestmark = pytest.mark.fresh_kernel


@pytest.mark.parametrize("busy", [False, True])
def test_a_job_sent_while_its_session_restarts_runs_in_the_new_kernel(
    executor: Executor, session: str, busy: bool
) -> None:
    old = executor.run("1", session=session).job["kernel_id"]
    if busy:
        running = executor.submit("print('on', flush=True)\nimport time\ntime.sleep(600)", session=session)
        executor.wait_for_output(running, "on")
    with ThreadPoolExecutor() as pool:
        restart = pool.submit(executor.post, f"/sessions/{session}/restart")
        jobs = [executor.submit(f"print({k})", session=session) for k in range(4)]
        ended = restart.result()["ended_jobs"]
    for k, job_id in enumerate(jobs):
        job = executor.follow(job_id)
        if job_id in ended:
            assert (job.state, job.reason) == ("interrupted", "session_restarted")
        else:
            assert (job.state, job.stdout) == ("succeeded", f"{k}\n")
            # Only a job finished before the restart ran in the old kernel.
            assert job.job["kernel_id"] != old or jobs.index(job_id) == 0


def test_what_a_thread_prints_after_its_cell_is_in_the_log(executor: Executor, session: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = (
        "import pathlib, threading, time\n"
        f"go = pathlib.Path({str(go)!r})\n"
        "def speak():\n"
        "    while not go.exists():\n"
        "        time.sleep(0.02)\n"
        "    print('late', flush=True)\n"
        "threading.Thread(target=speak).start()\n"
        "print('early')"
    )
    job = executor.run(code, session=session)
    assert job.stdout == "early\n"
    go.touch()
    log = f"/jobs/{job.job['id']}/log"
    wait_until(lambda: executor.call("GET", log).body == b"early\nlate\n")
    now = executor.get(f"/jobs/{job.job['id']}")["job"]
    assert (now["log_bytes_at_end"], now["log_bytes"]) == (6, 11)
    assert executor.follow(job.job["id"]).stdout == "early\n", "the events are sealed"


def test_a_users_file_does_not_shadow_a_module_of_python(executor: Executor, session: str) -> None:
    guilty = executor.root / "types.py"
    guilty.write_text("raise ImportError('mine')\n")
    try:
        assert executor.run("print(1)", session=session).stdout == "1\n"
    finally:
        guilty.unlink()


def test_an_end_lost_to_a_full_disk_is_known_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.append({"type": "started"})
    assert spool.is_whole
    with monkeypatch.context() as patch:
        patch.setattr("smart_colab_executor.jobs.spool.write_whole", lambda *_: (_ for _ in ()).throw(OSError("full")))
        spool.seal()
        spool.append_all("progress", [b'{"completed":1}\n', b'{"completed":2}\n'])
    # Later events stay in order after it, although there is room again.
    spool.append({"type": "finished"})
    spool.close()
    assert not spool.is_whole
    events = [json.loads(line) for line in spool.read(0, 1_000_000)]
    assert [(event["seq"], event["type"]) for event in events] == [
        (1, "started"),
        (2, "progress"),
        (3, "progress"),
        (4, "finished"),
    ]
    assert [len(spool.read(after, 1)) for after in range(5)] == [1, 1, 1, 1, 0]
    assert json.loads(spool.read(2, 1)[0])["completed"] == 2


def test_reading_stops_at_the_end_of_a_truncated_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(3):
        spool.append({"type": "x"})
    spool.close()
    (tmp_path / "events.jsonl").write_bytes(b"")
    assert spool.read(0, 1_000_000) == []


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_slow_disk_delays_no_other_kernel_and_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_cancelled: bool
) -> None:
    others_ran, create = threading.Event(), LastWords.create
    waited: list[bool] = []

    def create_slowly(words: LastWords) -> None:
        waited.append(others_ran.wait(10))
        create(words)
        if not is_cancelled:
            raise OSError("no space")

    async def start_one() -> None:
        starting = asyncio.ensure_future(Kernel(Workspace(tmp_path), KernelNotes(tmp_path / "kernels")).start())
        await asyncio.sleep(0)  # lets it start
        if is_cancelled:
            starting.cancel()
        asyncio.get_running_loop().call_soon(others_ran.set)
        with pytest.raises(KernelNotStarted):
            await starting

    async def start_no_process(*_: object, **__: object) -> None:
        raise RuntimeError("not here")

    monkeypatch.setattr(LastWords, "create", create_slowly)
    monkeypatch.setattr(AsyncKernelManager, "start_kernel", start_no_process)
    asyncio.run(start_one())
    assert waited == [True]
    assert list(tmp_path.glob("kernels/*")) == []

"""A session's idle time and memory, and the limits on its queue and its answers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Executor, wait_until

pytestmark = pytest.mark.fresh_kernel

Start = Callable[..., Executor]
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"


def test_a_session_reports_its_idle_time(executor: Executor, session: str) -> None:
    began = time.monotonic()
    executor.run("1", session=session)
    wait_until(lambda: (executor.session(session)["idle_sec"] or 0) >= 0.5)
    rested = executor.session(session)["idle_sec"]
    assert 0.5 <= rested <= time.monotonic() - began
    job_id = executor.submit(SLEEP, session=session)
    executor.wait_for_output(job_id, "asleep")
    assert executor.session(session)["idle_sec"] is None
    busy = time.monotonic()
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.follow(job_id)
    wait_until(lambda: executor.session(session)["state"] == "idle")
    assert executor.session(session)["idle_sec"] <= time.monotonic() - busy
    began = time.monotonic()
    shown = executor.post(f"/sessions/{session}/restart")["session"]
    assert 0 <= shown["idle_sec"] <= time.monotonic() - began


def test_a_session_reports_the_memory_of_its_kernel_and_children(executor: Executor, session: str) -> None:
    executor.run("1", session=session)
    alone = executor.session(session)["memory_mb"]
    assert 10 < alone < 1000
    executor.run("held = b'x' * 200_000_000", session=session)
    assert executor.session(session)["memory_mb"] > alone + 150
    executor.run("del held", session=session)
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c',"
        " \"import time; held = b'x' * 200_000_000; print(flush=True); time.sleep(600)\"], stdout=-1)\n"
        "child.stdout.readline()"
    )
    executor.run(code, session=session)
    assert executor.session(session)["memory_mb"] > alone + 150
    executor.run("child.kill()\nchild.wait()\nchild.stdout.close()", session=session)


def test_a_session_without_a_kernel_has_no_memory_and_idle_time(start: Start) -> None:
    executor = start()
    executor.call("DELETE", "/sessions/main")
    shown = executor.session()
    assert (shown["state"], shown["idle_sec"], shown["memory_mb"]) == ("dead", None, None)


def test_no_more_than_a_hundred_jobs_wait_in_a_session(executor: Executor, session: str) -> None:
    running = executor.submit(SLEEP, session=session)
    executor.wait_for_output(running, "asleep")
    waiting = [executor.submit(f"print({k})", session=session) for k in range(100)]
    one_more = str(uuid.uuid4())
    reply = executor.call("PUT", f"/jobs/{one_more}", {"code": "1", "session": session})
    problem = reply.json
    assert (reply.status, problem["code"], problem["retryable"]) == (409, "busy", False)
    assert problem["hint"]
    assert executor.call("GET", f"/jobs/{one_more}").status == 404
    assert not (executor.root / ".smart_colab" / "jobs" / one_more).exists()
    known = {"code": "print(7)", "session": session}
    assert executor.call("PUT", f"/jobs/{waiting[7]}", known).status == 200
    assert executor.run("print('other')").stdout == "other\n"
    executor.post(f"/jobs/{waiting[3]}/interrupt")
    assert executor.call("PUT", f"/jobs/{one_more}", {"code": "1", "session": session}).status == 201
    executor.post(f"/jobs/{running}/interrupt")
    assert executor.follow(one_more).state == "succeeded"
    assert executor.follow(waiting[99]).stdout == "99\n"


def test_jobs_are_listed_by_session(executor: Executor, session: str) -> None:
    mine = [executor.run(str(k), session=session).job["id"] for k in range(3)]
    executor.run("1")
    assert [job["id"] for job in executor.get(f"/jobs?session={session}")["jobs"]] == mine[::-1]
    assert [job["id"] for job in executor.get(f"/jobs?session={session}&limit=1")["jobs"]] == mine[2:]
    assert executor.get(f"/jobs?session={session}&state=failed")["jobs"] == []
    assert executor.get("/jobs?session=unknown")["jobs"] == []
    assert len(executor.get("/jobs?session=")["jobs"]) > 3
    assert executor.call("GET", "/jobs?session=a%20b").status == 400


def test_restarts_and_cleanups_answer_in_time(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = tmp_path / "held"
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "hold.py").write_text(
        f"import pathlib, time\nwhile pathlib.Path({str(held)!r}).exists():\n    time.sleep(0.05)\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executor = start()
    executor.run("1")
    # After the job has ended, one of its threads holds the GIL.
    go, gone = tmp_path / "go", tmp_path / "gone"
    silence = f"""
import pathlib, threading, time
def compute():
    while not pathlib.Path({str(go)!r}).exists():
        time.sleep(0.02)
    pathlib.Path({str(gone)!r}).touch()
    sum(range(10**12))
threading.Thread(target=compute).start()
"""
    executor.run(silence, session="silent")
    go.touch()
    wait_until(gone.exists)
    held.touch()
    with ThreadPoolExecutor() as pool:
        restart = pool.submit(executor.call, "POST", "/sessions/main/restart")
        cleanup = pool.submit(executor.call, "POST", "/cleanup", {"session": "silent"})
        restarted, cleaned = restart.result(), cleanup.result()
    assert (restarted.status, restarted.json["code"], restarted.json["retryable"]) == (409, "busy", False)
    assert (cleaned.status, cleaned.json["code"], cleaned.json["retryable"]) == (503, "busy", True)
    # The restart continues, and new code waits for it.
    job_id = executor.submit("print('anew')")
    held.unlink()
    assert executor.follow(job_id).stdout == "anew\n"
    assert executor.post("/sessions/silent/restart")["session"]["state"] == "idle"


def test_a_repeated_interrupt_request_reaches_the_code_once(executor: Executor) -> None:
    code = (
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    time.sleep(1.5)\n    print('saved')"
    )
    job_id = executor.submit(code, session="interrupted-again")
    executor.wait_for_output(job_id, "begun")
    for _ in range(5):
        reply = executor.call("POST", f"/jobs/{job_id}/interrupt", X_Request_Id="the-same")
        assert reply.status == 200
    assert executor.follow(job_id).stdout == "begun\nsaved\n"

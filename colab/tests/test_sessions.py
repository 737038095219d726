"""Sessions: kernels that die, hang, are interrupted, restarted, inspected and cleaned up."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest
from harness import Executor, wait_until

pytestmark = pytest.mark.fresh_kernel

SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"


def test_a_running_job_is_interrupted(executor: Executor) -> None:
    job_id = executor.submit(SLEEP)
    executor.wait_for_output(job_id, "asleep")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("interrupted", "interrupted", False)
    assert job.of("error")[0]["ename"] == "KeyboardInterrupt"
    assert executor.post(f"/jobs/{job_id}/interrupt")["job"]["state"] == "interrupted"


def test_an_interrupt_right_after_the_put_is_not_lost(executor: Executor) -> None:
    for _ in range(5):
        job_id = executor.submit("import time\ntime.sleep(600)")
        executor.post(f"/jobs/{job_id}/interrupt")
        assert executor.follow(job_id).state == "interrupted"


def test_a_job_waiting_for_its_kernels_start_can_be_interrupted(executor: Executor, session: str) -> None:
    job_id = executor.submit("print('never')", session=session)
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.of("started")) == ("interrupted", [])
    assert executor.run("print('next')", session=session).stdout == "next\n"


def test_a_session_can_be_deleted_while_its_kernel_starts(executor: Executor, session: str) -> None:
    job_id = executor.submit("print('never')", session=session)
    assert executor.call("DELETE", f"/sessions/{session}").json["ended_jobs"] == [job_id]
    assert executor.follow(job_id).reason == "session_deleted"
    assert executor.run("print('next')", session=session).stdout == "next\n"


def test_an_awaiting_job_is_interrupted(executor: Executor) -> None:
    job_id = executor.submit("import asyncio\nprint('asleep', flush=True)\nawait asyncio.sleep(600)")
    executor.wait_for_output(job_id, "asleep")
    executor.post(f"/jobs/{job_id}/interrupt")
    assert executor.follow(job_id).state == "interrupted"


def test_a_queued_job_is_removed_by_an_interrupt(executor: Executor) -> None:
    running = executor.submit(SLEEP)
    executor.wait_for_output(running, "asleep")
    taken, kept = executor.submit("print('never')"), executor.submit("print('kept')")
    jobs = [executor.get(f"/jobs/{job}")["job"] for job in (running, taken, kept)]
    assert [(job["queue_position"], job["behind"]) for job in jobs] == [(None, None), (1, running), (2, running)]
    assert executor.post(f"/jobs/{taken}/interrupt")["job"]["state"] == "interrupted"
    assert executor.get(f"/jobs/{kept}")["job"]["queue_position"] == 1
    last = executor.call("PUT", f"/jobs/{uuid.uuid4()}", {"code": "1"}).json["job"]
    place = (last["state"], last["queue_position"], last["behind"])
    assert place == ("queued", 2, running), "already in the reply that takes it"
    executor.post(f"/jobs/{running}/interrupt")
    assert executor.follow(kept).stdout == "kept\n"
    job = executor.follow(taken)
    assert [event["type"] for event in job.events] == ["finished"]
    assert (job.job["started_at"], job.job["execution_time_sec"]) == (None, None)


def test_jobs_of_a_session_run_in_order(executor: Executor) -> None:
    executor.run("order = []")
    jobs = [executor.submit(f"order.append({k})") for k in range(12)]
    for job in jobs:
        executor.follow(job)
    assert executor.run("print(order)").stdout == f"{list(range(12))}\n"


def test_sessions_are_concurrent_and_isolated(executor: Executor, session: str) -> None:
    sleeping = executor.submit(SLEEP)
    executor.wait_for_output(sleeping, "asleep")
    executor.run("only_here = 1", session=session)
    assert executor.run("print('only_here' in dir())", session=session).stdout == "True\n"
    assert executor.get(f"/jobs/{sleeping}")["job"]["state"] == "running"
    executor.post(f"/jobs/{sleeping}/interrupt")
    executor.follow(sleeping)
    assert executor.run("print('only_here' in dir())").stdout == "False\n"
    names = [row["name"] for row in executor.get("/sessions")["sessions"]]
    assert names[0] == "main"
    assert session in names


def test_output_stays_with_its_job(executor: Executor) -> None:
    jobs = [executor.submit(f"for _ in range(200):\n    print('{k}')") for k in range(6)]
    for k, job in enumerate(jobs):
        assert executor.follow(job).stdout == f"{k}\n" * 200


def test_a_timeout_interrupts_and_keeps_the_variables(executor: Executor, session: str) -> None:
    job = executor.run("kept = 1\nimport time\ntime.sleep(600)", session=session, timeout_sec=1)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("timed_out", "timeout", False)
    assert executor.run("print(kept)", session=session).stdout == "1\n"


def test_a_timeout_kills_code_that_ignores_the_interrupt(executor: Executor, session: str) -> None:
    code = """
import time
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("no")
"""
    job = executor.run(code, session=session, timeout_sec=1)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("timed_out", "timeout", True)
    assert "no" in job.stdout
    after = executor.run("print('anew')", session=session)
    assert after.stdout == "anew\n"
    assert after.job["kernel_id"] != job.job["kernel_id"]


def test_a_dying_kernel_fails_only_its_job(executor: Executor, session: str) -> None:
    job_id = executor.submit(
        "import os\nprint('last words', flush=True)\nimport time; time.sleep(1)\nos._exit(1)", session=session
    )
    queued = executor.submit("print('next')", session=session)
    job = executor.follow(job_id)
    assert (job.state, job.reason, job.job["variables_lost"]) == ("failed", "kernel_died", True)
    assert job.stdout == "last words\n"
    following = executor.follow(queued)
    assert following.stdout == "next\n"
    assert following.job["kernel_id"] != job.job["kernel_id"]


def test_a_job_that_kills_its_kernel_at_once_has_started(executor: Executor, session: str) -> None:
    executor.run("1", session=session)
    job = executor.run("import os; os._exit(1)", session=session)
    assert [event["type"] for event in job.events] == ["started", "finished"]
    assert job.reason == "kernel_died"


def test_an_idle_kernels_death_is_detected(executor: Executor, session: str) -> None:
    gate = executor.root / f"gate of {session}"
    leave = f"def leave():\n    while not os.path.exists({str(gate)!r}): time.sleep(0.05)\n    os._exit(1)\n"
    job = executor.run(f"import os, threading, time\n{leave}threading.Thread(target=leave).start()", session=session)
    assert job.state == "succeeded"
    gate.touch()
    wait_until(lambda: executor.session(session)["state"] == "dead")
    assert executor.session(session)["kernel_id"] is None
    assert executor.run("print('anew')", session=session).job["kernel_id"] != job.job["kernel_id"]


def test_a_session_starts_in_the_folder_that_its_first_job_names(
    executor: Executor, session: str, tmp_path: Path
) -> None:
    code = "import os; print(os.path.realpath('.'))"
    here = f"{tmp_path.resolve()}\n"
    assert executor.run(code, session=session, folder=str(tmp_path)).stdout == here
    assert executor.run(code, session=session, folder="/").stdout == here
    executor.run("exit()", session=session)
    assert executor.run(code, session=session).stdout == here
    gone = executor.run(code, session=session + "-2", folder=str(tmp_path / "gone"))
    assert gone.stdout == executor.run(code, session="main").stdout


def test_a_job_with_a_kernel_id_runs_there_or_not_at_all(executor: Executor, session: str) -> None:
    kernel_id = executor.run("x = 1", session=session).job["kernel_id"]
    assert executor.run("print(x)", session=session, kernel_id=kernel_id).stdout == "1\n"
    dying = executor.submit("import os, time\ntime.sleep(0.5)\nos._exit(1)", session=session)
    job = executor.run("print('never')", session=session, kernel_id=kernel_id)
    assert executor.follow(dying).job["reason"] == "kernel_died"
    assert (job.state, job.job["reason"]) == ("lost", "kernel_replaced")
    assert ([event["type"] for event in job.events], job.job["started_at"]) == (["finished"], None)
    assert executor.run("print('x' in globals())", session=session).stdout == "False\n"


def test_a_restart_ends_the_jobs_and_clears_the_variables(executor: Executor, session: str) -> None:
    before = executor.run("gone = 1", session=session).job["kernel_id"]
    running = executor.submit(SLEEP, session=session)
    executor.wait_for_output(running, "asleep")
    queued = executor.submit("1", session=session)
    answer = executor.post(f"/sessions/{session}/restart")
    assert answer["ended_jobs"] == [running, queued]
    assert answer["session"]["state"] == "idle"
    assert answer["session"]["kernel_id"] not in (None, before)
    for job_id, lost in ((running, True), (queued, False)):
        job = executor.follow(job_id)
        assert (job.state, job.reason) == ("interrupted", "session_restarted")
        assert job.job["variables_lost"] is lost
    assert executor.run("print('gone' in dir())", session=session).stdout == "False\n"


def test_deleting_a_session_ends_its_kernel(executor: Executor, session: str) -> None:
    running = executor.submit(
        "import os\nprint(os.getpid(), flush=True)\nimport time\ntime.sleep(600)", session=session
    )
    executor.wait_for_output(running, "\n")
    kernels = len(executor.kernels())
    assert executor.call("DELETE", f"/sessions/{session}").json == {"ended_jobs": [running]}
    assert executor.follow(running).reason == "session_deleted"
    assert session not in [row["name"] for row in executor.get("/sessions")["sessions"]]
    wait_until(lambda: len(executor.kernels()) == kernels - 1)
    assert executor.call("DELETE", f"/sessions/{session}").status == 404


def test_main_is_recreated_after_deletion(executor: Executor) -> None:
    assert executor.call("DELETE", "/sessions/main").status == 200
    assert executor.session()["state"] == "dead"
    assert executor.run("print('back')").stdout == "back\n"


def test_unknown_sessions_are_not_found(executor: Executor) -> None:
    for method, path in (("POST", "/sessions/nobody/restart"), ("GET", "/variables?session=nobody")):
        assert executor.call(method, path).status == 404
    assert executor.call("POST", "/cleanup", {"session": "nobody"}).status == 404
    assert executor.call("GET", "/variables?session=a%20b").status == 400


def test_variables_are_described(executor: Executor, session: str) -> None:
    executor.run(
        "import math, numpy as np\n"
        "a = np.zeros((10, 3)); b = [1, 2]; _hidden = 1\n"
        "def f(): pass\n"
        "class C:\n    def __repr__(self): raise ValueError\n"
        "c = C(); c.size = 3\n"
        "class Endless:\n"
        "    def __repr__(self):\n        while True: pass\n"
        "    __len__ = __repr__\n"
        "e = Endless(); text = 'x' * 1_000_000; deep = []; deep.append(deep); big = list(range(1_000_000))",
        session=session,
    )
    listing = executor.get(f"/variables?session={session}")
    assert (listing["session"], listing["source"], listing["total"]) == (session, "live", 7)
    rows = {row["name"]: row for row in listing["variables"]}
    assert sorted(rows) == ["a", "b", "big", "c", "deep", "e", "text"]
    assert (rows["a"]["type"], rows["a"]["shape"], rows["a"]["length"], rows["a"]["bytes"]) == (
        "ndarray",
        [10, 3],
        10,
        240,
    )
    assert rows["b"]["repr"] == "[1, 2]"
    assert rows["c"]["repr"] == "<C size=3>"
    assert rows["e"]["length"] is None
    assert rows["text"]["length"] == 1_000_000
    assert all(len(row["repr"]) <= 200 for row in rows.values())


def test_variables_are_listed_while_code_runs(executor: Executor, session: str) -> None:
    job_id = executor.submit(f"during = 1\n{SLEEP}", session=session)
    executor.wait_for_output(job_id, "asleep")
    listing = executor.get(f"/variables?session={session}")
    assert listing["source"] == "live"
    assert [row["name"] for row in listing["variables"]] == ["during"]


def names_while_deaf(executor: Executor, session: str, pattern: str = "*") -> list[str]:
    """Return the variables that match, listed while the kernel cannot answer."""
    gate, deaf = executor.root / f"gate of {session}", executor.root / f"deaf {session}"
    code = (
        "import pathlib, time\nprint('asleep', flush=True)\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)\n"
        f"pathlib.Path({str(deaf)!r}).touch()\nduring = sum(range(10**12))"
    )
    job_id = executor.submit(code, session=session)
    executor.wait_for_output(job_id, "asleep")
    # A snapshot is taken 0.05 s after a job, even while the next one sleeps; nothing shows when it is ready.
    time.sleep(1)
    gate.touch()
    wait_until(deaf.exists)
    listing = executor.get(f"/variables?session={session}&name={pattern}")
    assert (listing["source"], listing["total"]) == ("snapshot", len(listing["variables"]))
    return [row["name"] for row in listing["variables"]]


def test_variables_of_a_busy_kernel_come_from_the_snapshot(executor: Executor, session: str) -> None:
    executor.run("before = 1; other = 2", session=session)
    # A live listing proves that the snapshot was taken before.
    executor.get(f"/variables?session={session}")
    assert names_while_deaf(executor, session, "b*") == ["before"]


def test_a_snapshot_is_taken_after_every_job(executor: Executor, session: str) -> None:
    executor.run("earlier = 1", session=session)
    executor.run("before = 1", session=session)
    assert names_while_deaf(executor, session) == ["before", "earlier"]


def test_variables_are_selected_by_name(executor: Executor, session: str) -> None:
    executor.run("df_a = 1; df_b = 2; other = 3", session=session)
    for pattern, names in (("df_*", ["df_a", "df_b"]), ("other", ["other"]), ("none", [])):
        listing = executor.get(f"/variables?session={session}&name={pattern}")
        assert (sorted(row["name"] for row in listing["variables"]), listing["total"]) == (names, len(names))


def test_a_session_without_a_kernel_has_no_variables(executor: Executor) -> None:
    assert executor.call("DELETE", "/sessions/main").status == 200
    listing = executor.get("/variables")
    assert (listing["source"], listing["kernel_id"], listing["variables"]) == ("none", None, [])


def test_cleanup_clears_variables_and_figures(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    executor.run(
        "import matplotlib.pyplot as plt\nx = [1] * 1000\ny = x\nfigure = plt.figure()\ndef keep(): return 1",
        session=session,
    )
    executor.run("[2] * 1000", session=session)
    done = executor.post("/cleanup", {"session": session})
    assert done["session"] == session
    assert done["cleared_variables"] == ["figure", "x", "y"]
    assert done["figures_closed"] in (0, 1)  # the inline backend may have closed it when the cell ended
    assert done["deleted_files"] == []
    assert done["cuda_cache_emptied"] is False
    assert isinstance(done["freed_mb"], float)
    assert executor.run("print('x' in dir(), keep(), len(Out))", session=session).stdout == "False 1 0\n"
    assert executor.get(f"/variables?session={session}")["total"] == 0


def test_cleanup_of_a_busy_session_is_refused(executor: Executor, session: str) -> None:
    job_id = executor.submit(SLEEP, session=session)
    executor.wait_for_output(job_id, "asleep")
    reply = executor.call("POST", "/cleanup", {"session": session})
    assert (reply.status, reply.json["code"], reply.json["retryable"]) == (409, "busy", True)


def test_cleanup_deletes_temporary_files_when_asked(executor: Executor) -> None:
    (executor.root / "old.tmp").write_text("x")
    (executor.root / "data.csv").write_text("x")
    assert executor.post("/cleanup", {"temp_files": False})["deleted_files"] == []
    # Beside those of tests before this one.
    deleted = executor.post("/cleanup", {"temp_files": True})["deleted_files"]
    assert any(path.endswith("old.tmp") for path in deleted)
    assert (executor.root / "data.csv").exists()


def test_the_namespace_and_the_history_start_clean(executor: Executor, session: str) -> None:
    job = executor.run("print([n for n in dir() if 'smart' in n], len(In))", session=session)
    assert job.stdout == "[] 2\n"
    assert job.of("started")[0]["execution_count"] == 1
    assert executor.session(session)["execution_count"] == 1


def test_a_background_thread_does_not_disturb_later_cells(executor: Executor, session: str) -> None:
    executor.run(
        "import threading, time\nstop = threading.Event()\n"
        "def tick():\n    while not stop.wait(0.01):\n        print('tick', flush=True)\n"
        "thread = threading.Thread(target=tick)\nthread.start()",
        session=session,
    )
    # In one piece: print() writes its newline apart, and a tick may come between.
    job = executor.run("import sys\n_ = sys.stdout.write('cell\\n')\nstop.set()\nthread.join()", session=session)
    assert "cell\n" in job.stdout
    later = executor.run("time.sleep(0.2)\nprint('alone')", session=session)
    assert later.stdout == "alone\n"


def test_a_session_reports_its_state(executor: Executor, session: str) -> None:
    job_id = executor.submit(SLEEP, session=session)
    executor.wait_for_output(job_id, "asleep")
    executor.submit("1", session=session)
    shown = executor.session(session)
    assert (shown["state"], shown["running_job"], shown["queued_jobs"]) == ("busy", job_id, 1)
    assert shown["started_at"].endswith("Z")


def test_the_kernel_never_sees_the_token(executor: Executor) -> None:
    assert executor.run("import os\nprint([n for n in os.environ if 'TOKEN' in n and 'SMART' in n])").stdout == "[]\n"


def test_code_starts_in_the_root(executor: Executor) -> None:
    assert executor.run("import os\nprint(os.getcwd())").stdout.strip() == str(executor.root)


def test_many_polls_do_not_stall_a_job(executor: Executor) -> None:
    from concurrent.futures import ThreadPoolExecutor

    job_id = executor.submit(SLEEP)
    executor.wait_for_output(job_id, "asleep")
    with ThreadPoolExecutor(60) as pool:
        polls = [pool.submit(executor.get, f"/jobs/{job_id}/events?after=2&wait=20") for _ in range(60)]
        time.sleep(1)
        assert executor.get("/health")["status"] == "ok"
        executor.post(f"/jobs/{job_id}/interrupt")
        assert all(poll.result()["events"] for poll in polls)

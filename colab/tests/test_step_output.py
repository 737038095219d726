"""The output of a loop's steps: of threads and children of earlier steps, figures, and notes that appear once."""

from __future__ import annotations

import sys

import pytest
from harness import Executor, wait_until
from step_helpers import loop

posix = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")


def log_of(executor: Executor, job_id: str) -> str:
    return executor.call("GET", f"/jobs/{job_id}/log").body.decode()


def test_threads_of_earlier_steps_print_to_the_running_job_and_later_to_its_log(
    executor: Executor, session: str
) -> None:
    setup = """
import threading
steps, said = threading.Semaphore(0), threading.Semaphore(0)
def speak():
    for k in range(6):
        steps.acquire()
        print('late', k)
        said.release()
thread = threading.Thread(target=speak)
thread.start()
"""
    first = executor.run("steps.release()\nsaid.acquire()", session=session, loop=loop(4, 1, setup))
    assert (first.state, first.stdout) == ("succeeded", "".join(f"late {k}\n" for k in range(4)))
    second = executor.run("steps.release(2)\nsaid.acquire()\nsaid.acquire()\nprint('mine')", session=session)
    assert second.stdout == "mine\n"
    job_id = first.job["id"]
    wait_until(lambda: "late 5" in log_of(executor, job_id))
    assert log_of(executor, job_id) == "".join(f"late {k}\n" for k in range(6))


def test_output_of_earlier_steps_goes_to_their_job_while_another_runs(executor: Executor, session: str) -> None:
    gate = executor.root / f"gate-{session}"
    setup = """
import pathlib, threading, time
speak, said = threading.Event(), threading.Event()
def work():
    speak.wait()
    print('late')
    display('shown')
    said.set()
threading.Thread(target=work).start()
"""
    body = f"if i == 1:\n    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    first = executor.submit(body, session=session, loop=loop(3, 1, setup))
    wait_until(lambda: executor.get(f"/jobs/{first}")["job"]["completed"] == 1)
    between = executor.submit("speak.set()\nsaid.wait()\ntime.sleep(0.3)\nprint('mine')", session=session)
    gate.touch()
    job = executor.follow(first)
    assert (job.state, job.stdout) == ("succeeded", "late\n")
    assert [event["data"]["text/plain"] for event in job.of("display_data")] == ["'shown'"]
    kinds = [event["type"] for event in job.events if event["type"] not in ("stream", "display_data")]
    assert kinds == ["started", *["batch", "progress"] * 3, "finished"]
    assert job.events.index(job.of("stream")[0]) < job.events.index(job.of("batch")[2]), "in the order of arrival"
    assert executor.follow(between).stdout == "mine\n"


@posix
def test_children_of_an_earlier_step_print_for_the_job(executor: Executor, session: str) -> None:
    setup = (
        "import os, subprocess, time\nchild = subprocess.Popen(['sh', '-c', 'sleep 1; echo child; sleep 1; echo end'])"
    )
    job = executor.run("time.sleep(0.5)", session=session, loop=loop(3, 1, setup))
    assert job.stdout == "child\n"
    wait_until(lambda: log_of(executor, job.job["id"]) == "child\nend\n")


@posix
def test_last_words_of_an_earlier_steps_thread_go_to_the_job(executor: Executor, session: str) -> None:
    setup = """
import os, sys, threading
dies, said = threading.Event(), threading.Event()
def speak():
    dies.wait()
    print('last words', end='')
    said.set()
threading.Thread(target=speak).start()
"""
    body = "if i == 4:\n    dies.set(); said.wait(); os.kill(os.getpid(), 9)"
    job = executor.run(body, session=session, loop=loop(9, 2, setup))
    assert (job.reason, job.stdout) == ("kernel_died", "last words")


def test_figures_are_shown_with_their_step(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    body = "plt.plot([i, 2])"
    job = executor.run(body, session=session, loop=loop(4, 2, "import matplotlib.pyplot as plt"))
    assert job.state == "succeeded"
    kinds = [event["type"] for event in job.events if event["type"] != "stream"]
    step = ["batch", "progress", "progress", "display_data"]
    assert kinds == ["started", *step * 2, "finished"]
    assert all("image/png" in event["data"] for event in job.of("display_data"))


def test_a_redirected_stream_is_reported_once_per_job(executor: Executor, session: str) -> None:
    divert = "import io, sys\nsys.stdout = io.StringIO()"
    own = executor.run("i", session=session, loop=loop(4, 1, divert))
    assert own.streams == {"stdout": "", "stderr": ""}
    for _ in range(2):
        later = executor.run("i", session=session, loop=loop(4, 1))
        assert later.streams["stderr"].count("set by an earlier cell") == 1


@pytest.mark.fresh_kernel
def test_the_history_has_a_loop_body_once(executor: Executor, session: str) -> None:
    executor.run("i", session=session, loop=loop(5, 1, "x = 'the setup'"))
    job = executor.run("print(len(In), In[1:3])\nx", session=session)
    assert job.stdout == """4 ["x = 'the setup'", 'i']\n"""
    assert job.events[0]["execution_count"] == job.of("execute_result")[0]["execution_count"] == 3

"""Loops on a cluster: real kernels, and real schedulers and workers of dask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import DaskProcesses
from harness import Executor, Finished, wait_until
from step_helpers import iterations

# Workers that are threads of the kernel: the cheapest cluster that is one.
IN_THREADS = """
from distributed import Client, LocalCluster
if __name__ == "__main__":
    try: threads
    except NameError:
        threads = LocalCluster(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
        client = Client(threads)
"""


@pytest.fixture(scope="module")
def in_threads(executor: Executor) -> Iterator[str]:
    yield "threads"
    executor.call("DELETE", "/sessions/threads")


def loop(stop: int, cluster: str, worker_setup: str = "", **more: Any) -> dict[str, Any]:
    return {"start": 0, "stop": stop, "total": stop, "cluster": cluster, "worker_setup": worker_setup} | more


def run(executor: Executor, body: str, stop: int, setup: str = "", cluster: str = "threads", **more: Any) -> Finished:
    setup = IN_THREADS + setup
    return executor.run(body, session="threads", loop=loop(stop, cluster, setup, setup=setup, **more))


def results(job: Finished) -> list[Any]:
    return [event["result"] for event in job.of("progress")]


def test_iterations_are_reported_in_order_with_what_they_printed(executor: Executor, in_threads: str) -> None:
    body = "import time\ntime.sleep(0.05 * (i % 3 == 0))\nprint('at {i}')\ni * factor"
    job = run(executor, body, 30, "\nfactor = 2")
    assert job.state == "succeeded", job.events
    assert results(job) == [2 * i for i in range(30)]
    assert job.stdout == "".join(f"at {i}\n" for i in range(30))
    kinds = [event["type"] for event in job.events if event["type"] == "progress" or event.get("name") == "stdout"]
    assert kinds[:4] == ["stream", "progress", "stream", "progress"]
    assert "[cluster: 2 workers with 2 threads at inproc://" in job.streams["stderr"]
    assert "[cluster: 30 iterations in " in job.streams["stderr"]


def test_the_first_failing_iteration_ends_the_loop_however_early_a_later_one_fails(
    executor: Executor, in_threads: str
) -> None:
    body = "import time\nif i == 1:\n    time.sleep(0.3)\n    1 / 0\nif i == 3:\n    raise KeyError\ni"
    job = run(executor, body, 40)
    assert (job.state, job.reason, iterations(job)) == ("failed", "python_error", [0])
    [error] = job.of("error")
    assert error["ename"] == "ZeroDivisionError"
    assert '"<loop_code>", line 4, in <module>' in error["traceback"][1]
    # The session's own cluster and client are as they were.
    assert run(executor, "i", 3, cluster="client").state == "succeeded"
    assert executor.run("print(client.submit(abs, -1).result())", session="threads").stdout == "1\n"


def test_a_break_ends_the_loop_after_those_before_it(executor: Executor, in_threads: str) -> None:
    job = run(executor, "import time\ntime.sleep(0.2 * (i == 1))\nif i == 4:\n    break\ni", 40)
    assert [(event["iteration"], event["message"]) for event in job.of("progress")] == [
        *((i, None) for i in range(4)),
        (4, "break"),
    ]
    assert job.state == "succeeded"


def test_an_interrupt_lets_running_iterations_finish_and_reports_those_in_order(
    executor: Executor, in_threads: str, tmp_path: Path
) -> None:
    setup = f"{IN_THREADS}\nimport pathlib, time\nfolder = pathlib.Path({str(tmp_path)!r})"
    body = (
        "(folder / f'begun-{i}').touch(exist_ok=False)\n"
        "while i > 2 and not (folder / 'go-on').exists():\n    time.sleep(0.02)\ni"
    )

    def begun() -> set[int]:
        return {int(file.name[6:]) for file in tmp_path.glob("begun-*")}

    job_id = executor.submit(body, session="threads", loop=loop(40, "threads", setup, setup=setup))
    wait_until(lambda: len(begun() - {0, 1, 2}) == 2)
    before = begun()
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.wait_for_output(job_id, "[cluster: interrupted: ")
    (tmp_path / "go-on").touch()
    job = executor.follow(job_id)
    in_order = next(number for number in range(40) if number not in before)
    assert (job.state, iterations(job), begun()) == ("interrupted", list(range(in_order)), before)
    assert f"[cluster: {in_order} iterations in " in job.streams["stderr"]
    assert job.of("error")[0]["traceback"] == ["KeyboardInterrupt: the work on the cluster was interrupted"]


def test_skipped_iterations_and_numbers_are_reported_as_without_a_cluster(executor: Executor, in_threads: str) -> None:
    job = run(executor, "1 / (i - 41)\ni", 4, start=1, on_error="skip", numbers=[3, 40, 41, 700])
    found = [(event["completed"], event["iteration"], event["result"]) for event in job.of("progress")]
    assert found == [(2, 40, 40), (3, 41, None), (4, 700, 700)]
    assert job.of("progress")[1]["error"]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("cluster", "body", "setup", "ename", "said"),
    [
        ("threads", "i", "\n1 / 0 if __name__ != '__main__' else 0", "SetupFailed", "ZeroDivisionError"),
        ("threads", "threads_there + i", "", "NotOnCluster", "`threads_there` of the session"),
        ("unmade", "return i", "", "SyntaxError", "loop_code: 'return' outside function (line 1)"),
        ("locl", "i", "", "NoSuchCluster", "no variable `locl` in the session (did you mean local?)"),
        ("IN_THREADS", "i", "\nIN_THREADS = 1", "NoSuchCluster", "neither a cluster nor a client"),
        ("tcp://127.0.0.1:1", "i", "", "ClusterError", "no scheduler could be reached at tcp://127.0.0.1:1"),
    ],
)
def test_what_keeps_a_loop_from_a_cluster_is_said_before_its_first_iteration(
    executor: Executor, in_threads: str, cluster: str, body: str, setup: str, ename: str, said: str
) -> None:
    # A refused connection is tried again until the time is over.
    executor.run("threads_there = 1\n__import__('_smart_colab').clusters.CONNECT_TIMEOUT_SEC = 1", session="threads")
    setup = IN_THREADS + setup
    job = executor.run(body, session="threads", loop=loop(3, cluster, setup, setup=setup))
    assert (job.state, iterations(job)) == ("failed", [])
    [error] = job.of("error")
    assert error["ename"] == ename
    assert said in error["evalue"]


def test_a_session_without_distributed_says_how_to_install_it(executor: Executor, session: str) -> None:
    hide = "import importlib.util as u\nfind = u.find_spec\nu.find_spec = lambda name: name != 'distributed'"
    executor.run(f"{hide} and find(name)", session=session)
    job = executor.run("i", session=session, loop=loop(3, "local"))
    executor.run("u.find_spec = find", session=session)
    assert (job.of("error")[0]["ename"], iterations(job)) == ("ModuleNotFoundError", [])
    assert "%pip install distributed" in job.of("error")[0]["evalue"]


def test_workers_come_and_go_under_tls_and_one_call_goes_on_after_the_scheduler_has_ended(
    tmp_path: Path, start: Any
) -> None:
    with DaskProcesses(tmp_path) as dask:
        scheduler, first = dask.start_scheduler(), dask.start_worker()
        executor = start(env=dask.environment | {"DASK_SCHEDULER_ADDRESS": dask.address})
        body = (
            "open(f'by-{os.getpid()}', 'a').write(f'{i}\\n')\n"
            "while i == 3 and not os.path.exists('go-on'):\n    time.sleep(0.02)\nos.getpid()"
        )
        setup = "import os, time\nopen('set-up', 'a').write('x')"
        job_id = executor.submit(body, loop=loop(30, dask.address, setup))
        wait_until(lambda: _ran(tmp_path, first.pid, 3))
        # The results of those before it have left their worker, and do not end with it.
        wait_until(lambda: executor.get(f"/jobs/{job_id}")["job"]["completed"] == 3)
        late = dask.start_worker()
        wait_until(lambda: "2 workers" in executor.call("GET", f"/jobs/{job_id}/log").body.decode())
        # The late one begins it again.
        first.kill()
        wait_until(lambda: _ran(tmp_path, late.pid, 3))
        scheduler.kill()
        job = executor.follow(job_id)
        assert (job.state, iterations(job)) == ("failed", [0, 1, 2])
        assert job.of("error")[0]["ename"] == "ClusterError"
        assert f"the scheduler at {dask.address}" in job.of("error")[0]["evalue"]
        assert (tmp_path / "set-up").read_text() == "xx"

        (tmp_path / "go-on").touch()
        late.kill()
        dask.start_scheduler()
        last = dask.start_worker()
        job = executor.run(body, loop=loop(30, "dask", setup, start=3))
        assert (job.state, iterations(job)) == ("succeeded", list(range(3, 30)))
        assert set(results(job)) == {last.pid}


def _ran(folder: Path, pid: int, iteration: int) -> bool:
    file = folder / f"by-{pid}"
    return file.exists() and str(iteration) in file.read_text().split()

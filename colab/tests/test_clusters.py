"""Loops on a cluster: real kernels, and real schedulers and workers of dask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dask
import pytest
from contract import faults, kind_of
from dask_processes import DaskProcesses
from harness import Executor, Finished, wait_until
from step_helpers import iterations

from smart_colab_executor.in_kernel import clusters
from smart_colab_executor.in_kernel.cluster_view import view

# Workers that are threads of the kernel: the cheapest cluster that is one.
IN_THREADS = """
from distributed import Client, LocalCluster
if __name__ == "__main__":
    try: threads
    except NameError:
        threads = LocalCluster(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
        client = Client(threads)
"""
TLS_FILES = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
# A refused connection is tried again until the time is over.
WAIT_BRIEFLY = "__import__('_smart_colab').clusters.CONNECT_TIMEOUT_SEC = 1"


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


def test_iterations_are_reported_as_they_finish_with_what_they_printed(
    executor: Executor, in_threads: str, tmp_path: Path
) -> None:
    setup = f"\nimport pathlib, time\nlater = pathlib.Path({str(tmp_path)!r}, 'later')\nfactor = 2"
    body = (
        "while i == 0 and not later.exists():\n    time.sleep(0.02)\nlater.touch() if i == 1 else None\n"
        "print('at {i}')\ni * factor"
    )
    job = run(executor, body, 30, setup)
    assert job.state == "succeeded", job.events
    order = iterations(job)
    assert sorted(order) == list(range(30))
    assert order.index(1) < order.index(0)
    assert results(job) == [2 * i for i in order]
    assert [event["completed"] for event in job.of("progress")] == list(range(1, 31))
    assert job.of("finished")[0]["reruns"] == {"began_again": 0, "uncounted": 0}
    assert job.stdout == "".join(f"at {i}\n" for i in order)
    kinds = [event["type"] for event in job.events if event["type"] == "progress" or event.get("name") == "stdout"]
    assert kinds[:4] == ["stream", "progress", "stream", "progress"]
    assert "[cluster: 2 workers with 2 threads at inproc://" in job.streams["stderr"]
    assert "[cluster: 30 iterations in " in job.streams["stderr"]


def test_the_first_failing_iteration_ends_the_loop_however_early_a_later_one_fails(
    executor: Executor, in_threads: str
) -> None:
    body = "import time\nif i == 1:\n    time.sleep(0.3)\n    1 / 0\nif i == 3:\n    raise KeyError\ni"
    job = run(executor, body, 40)
    assert (job.state, job.reason) == ("failed", "python_error")
    assert {0} <= {*iterations(job)} <= {*range(40)} - {1, 3}
    [error] = job.of("error")
    assert error["ename"] == "ZeroDivisionError"
    assert '"<loop_code>", line 4, in <module>' in error["traceback"][1]
    # The session's own cluster and client are as they were.
    assert run(executor, "i", 3, cluster="client").state == "succeeded"
    assert executor.run("print(client.submit(abs, -1).result())", session="threads").stdout == "1\n"


def test_iterations_that_run_when_an_earlier_one_fails_finish_and_are_reported(
    executor: Executor, in_threads: str, tmp_path: Path
) -> None:
    setup = f"\nimport pathlib, time\nfolder = pathlib.Path({str(tmp_path)!r})"
    body = (
        "(folder / f'begun-{i}').touch(exist_ok=False)\n"
        "while i == 1 and not (folder / 'begun-2').exists():\n    time.sleep(0.02)\n"
        "if i == 1:\n    1 / 0\n"
        "while i == 2 and not (folder / 'go-on').exists():\n    time.sleep(0.02)\ni"
    )
    setup = IN_THREADS + setup
    job_id = executor.submit(body, session="threads", loop=loop(40, "threads", setup, setup=setup))
    executor.wait_for_output(job_id, "[cluster: iteration 1 failed (ZeroDivisionError)")
    (tmp_path / "go-on").touch()
    job = executor.follow(job_id)
    begun = {int(file.name[6:]) for file in tmp_path.glob("begun-*")}
    assert job.of("error")[0]["ename"] == "ZeroDivisionError"
    # A worker may have begun another one before it heard of the failure.
    assert {0, 2} <= set(iterations(job)) <= begun - {1}


def test_a_break_ends_the_loop_after_those_before_it(executor: Executor, in_threads: str) -> None:
    job = run(executor, "import time\ntime.sleep(0.2 * (i == 1))\nif i == 4:\n    break\ni", 40)
    reported = [(event["iteration"], event["message"]) for event in job.of("progress")]
    assert reported[-1] == (4, "break")
    assert {(i, None) for i in range(4)} <= set(reported)
    assert job.state == "succeeded"


def test_an_interrupt_lets_running_iterations_finish_and_a_second_one_counts_those_that_it_ends(
    executor: Executor, in_threads: str, tmp_path: Path
) -> None:
    setup = f"{IN_THREADS}\nimport pathlib, time\nfolder = pathlib.Path({str(tmp_path)!r})"
    body = "(folder / f'begun-{i}').touch()\nwhile i == 0 and not (folder / 'end').exists():\n    time.sleep(0.02)\ni"
    job_id = executor.submit(body, session="threads", loop=loop(9, "threads", setup, setup=setup))
    wait_until(lambda: executor.get(f"/jobs/{job_id}")["job"]["completed"] == 8)
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.wait_for_output(job_id, "[cluster: interrupted: ")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    (tmp_path / "end").touch()
    assert (job.state, sorted(iterations(job))) == ("interrupted", list(range(1, 9)))
    assert job.of("finished")[0]["reruns"] == {"began_again": 0, "uncounted": 1}
    assert "up to 1 other ran without counting" in job.streams["stderr"]


def test_an_interrupt_lets_running_iterations_finish_and_reports_them(
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
    assert (job.state, set(iterations(job)), begun()) == ("interrupted", before, before)
    assert f"[cluster: {len(before)} iterations in " in job.streams["stderr"]
    assert job.of("error")[0]["traceback"] == ["KeyboardInterrupt: the work on the cluster was interrupted"]


def test_skipped_iterations_and_numbers_are_reported_as_without_a_cluster(executor: Executor, in_threads: str) -> None:
    job = run(executor, "1 / (i - 41)\ni", 4, start=1, on_error="skip", numbers=[3, 40, 41, 700])
    assert [event["completed"] for event in job.of("progress")] == [2, 3, 4]
    found = {
        event["iteration"]: (event["result"], event["error"] and event["error"]["ename"])
        for event in job.of("progress")
    }
    assert found == {40: (40, None), 41: (None, "ZeroDivisionError"), 700: (700, None)}


@pytest.mark.parametrize(
    ("cluster", "body", "setup", "ename", "said"),
    [
        ("threads", "i", "\n1 / 0 if __name__ != '__main__' else 0", "SetupFailed", "ZeroDivisionError"),
        ("threads", "threads_there + i", "", "NotOnCluster", "`threads_there` of the session"),
        ("unmade", "return i", "", "SyntaxError", "loop_code: 'return' outside function (line 1)"),
        ("locl", "i", "", "NoSuchCluster", "no variable `locl` in the session (did you mean local?)"),
        ("IN_THREADS", "i", "\nIN_THREADS = 1", "NoSuchCluster", "neither a cluster nor a client"),
        ("tcp://127.0.0.1:1", "i", "", "ClusterError", "no scheduler could be reached at tcp://127.0.0.1:1"),
        ("tcp://127.0.0.1", "i", "", "NoSuchCluster", "no scheduler's address, such as tcp://host:8786: missing port"),
        ("tls://127.0.0.1:1", "i", "", "ClusterError", "TLS needs DASK_DISTRIBUTED__COMM__TLS__CA_FILE. Set it"),
        ("dask", "i", "", "NoSuchCluster", "tcp:// or tls://; one that begins with http is its dashboard's. Set or"),
    ],
)
def test_what_keeps_a_loop_from_a_cluster_is_said_before_its_first_iteration(
    executor: Executor, in_threads: str, cluster: str, body: str, setup: str, ename: str, said: str
) -> None:
    address = "__import__('os').environ['DASK_SCHEDULER_ADDRESS'] = 'http://127.0.0.1:8787/status'"
    executor.run(f"threads_there = 1\n{WAIT_BRIEFLY}\n{address}", session="threads")
    job = run(executor, body, 3, setup, cluster)
    assert (job.state, iterations(job)) == ("failed", [])
    [error] = job.of("error")
    assert error["ename"] == ename
    assert said in error["evalue"]
    assert not any((job.of("finished")[0]["reruns"] or {}).values())


@pytest.mark.parametrize("name", ["local", "local:1", "local:9999", "dask", "tcp://127.0.0.1:9999"])
def test_far_more_workers_than_processors_are_remarked_on(name: str) -> None:
    said = clusters.crowding(name)
    assert (said or "").startswith("local:9999 starts 9999 processes on ") is (name == "local:9999")


def test_the_job_shows_its_cluster_while_it_runs(executor: Executor, in_threads: str, tmp_path: Path) -> None:
    body = f"import os, time\nwhile i > 2 and not os.path.exists({str(tmp_path / 'go-on')!r}):\n    time.sleep(0.02)\ni"
    job_id = executor.submit(body, session="threads", loop=loop(40, "threads", IN_THREADS, setup=IN_THREADS))

    def shown() -> Any:
        return executor.get(f"/jobs/{job_id}")["job"]["cluster"]

    wait_until(lambda: (shown() or {}).get("tasks_running") == 2)
    found = shown()
    assert faults(found, kind_of("ClusterView")) == []
    assert found["scheduler"].startswith("inproc://")
    assert (found["worker_count"], found["threads"], [one["name"] for one in found["workers"]]) == (2, 2, ["0", "1"])
    assert found["tasks_waiting"] > 0
    assert 0 < found["memory_bytes"] == sum(one["memory_bytes"] for one in found["workers"])
    (tmp_path / "go-on").touch()
    assert executor.follow(job_id).state == "succeeded"
    assert shown() is None


def test_of_many_workers_those_are_shown_whose_memory_is_fullest() -> None:
    cluster = SimpleNamespace(address="tcp://10.0.0.1:8786", dashboard=None)
    workers = {
        f"tcp://10.0.0.{number}:1": {"name": number, "nthreads": 2, "memory_limit": 100, "metrics": {"memory": number}}
        for number in range(100)
    }
    found = view(cast(Any, cluster), workers, running=3, waiting=4)
    assert [one["name"] for one in found["workers"]] == [str(number) for number in range(92, 100)]
    assert (found["worker_count"], found["threads"]) == (100, 200)
    assert (found["memory_bytes"], found["limit_bytes"]) == (4950, 10_000)
    assert len(json.dumps(found)) < 1500


@pytest.mark.parametrize(
    ("ca", "cert", "key", "fault"),
    [
        (None, __file__, None, "TLS needs DASK_DISTRIBUTED__COMM__TLS__CA_FILE. Set it"),
        (
            "/nowhere/ca.pem",
            __file__,
            None,
            "the file of DASK_DISTRIBUTED__COMM__TLS__CA_FILE is not there: /nowhere/ca",
        ),
        (__file__, None, None, "TLS needs DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT. Set it"),
        (__file__, "-----BEGIN\n", "/nowhere/key.pem", "CLIENT__KEY is not there: /nowhere/key.pem. Set it"),
        (__file__, __file__, None, None),
    ],
)
def test_a_missing_file_for_tls_is_named(ca: str | None, cert: str | None, key: str | None, fault: str | None) -> None:
    given = {clusters.TLS_VARIABLE + name: file for name, file in zip(TLS_FILES, (ca, cert, key), strict=True) if file}
    with dask.config.set(dask.config.collect_env(given)):
        found = clusters._tls_fault()
    assert found is None if fault is None else fault in str(found)


def test_what_does_not_answer_as_a_scheduler_keeps_nothing_waiting(executor: Executor, session: str) -> None:
    never = "import asyncio, distributed.comm as comm\nasync def never(*_, **__): await asyncio.sleep(3600)"
    executor.run(f"{WAIT_BRIEFLY}\n{never}\nconnect, comm.connect = comm.connect, never", session=session)
    job = executor.run("i", session=session, loop=loop(3, "tcp://127.0.0.1:1"))
    executor.run("comm.connect = connect", session=session)
    assert "what listens there does not answer as a scheduler" in job.of("error")[0]["evalue"]


def test_a_scheduler_that_fails_with_another_version_is_said_to_have_it(executor: Executor, session: str) -> None:
    executor.run(
        f"{WAIT_BRIEFLY}\n__import__('_smart_colab').clusters._version_at = lambda _: '2024.8.0'", session=session
    )
    job = executor.run("i", session=session, loop=loop(3, "tcp://127.0.0.1:1"))
    [error] = job.of("error")
    assert error["ename"] == "ClusterError"
    assert "The scheduler has distributed 2024.8.0, and the session " in error["evalue"]
    assert "%pip install distributed==2024.8.0" in error["evalue"]


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
        done = iterations(job)
        assert (job.state, {0, 1, 2} & {*done}, 3 in done) == ("failed", {0, 1, 2}, False)
        assert job.of("finished")[0]["reruns"] is not None
        assert job.of("error")[0]["ename"] == "ClusterError"
        assert f"the scheduler at {dask.address}" in job.of("error")[0]["evalue"]
        assert (tmp_path / "set-up").read_text() == "xx"

        (tmp_path / "go-on").touch()
        late.kill()
        dask.start_scheduler()
        last = dask.start_worker()
        missing = [number for number in range(30) if number not in done]
        job = executor.run(body, loop=loop(len(missing), "dask", setup, numbers=missing))
        assert (job.state, sorted(iterations(job))) == ("succeeded", missing)
        assert set(results(job)) == {last.pid}


def _ran(folder: Path, pid: int, iteration: int) -> bool:
    file = folder / f"by-{pid}"
    return file.exists() and str(iteration) in file.read_text().split()

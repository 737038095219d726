"""Clients that take their time hold up nobody else."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Executor, wait_until

from smart_colab_executor.app import DOWNLOADS, EXECUTES, WAITS
from smart_colab_executor.errors import Busy
from smart_colab_executor.server import CONNECTIONS, CONNECTIONS_KEPT, THREADS
from smart_colab_executor.slots import Slots

CROWD = Path(__file__).with_name("slow_clients.py")
EACH = 50
SAMPLES = 25
LEAST_ROUNDS, MOST_ROUNDS = 3, 12
SLEEP = "import time\ntime.sleep(600)"
LARGE = "/files/download?path=large"


@contextmanager
def crowd(executor: Executor, kind: str, count: int, path: str) -> Iterator[None]:
    """Slow clients in a process of their own, so that they cost this one's calls nothing."""
    host, port = executor.ready["url"].removeprefix("http://").split(":")
    command = [sys.executable, str(CROWD), host, port, executor.token, kind, str(count), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None, "it failed, or was cut off"
        process.stdin.close()


@pytest.fixture
def executor(start: Callable[..., Executor]) -> Executor:
    running = start()
    (running.root / "large").write_bytes(bytes(64 * 1024 * 1024))
    return running


def timed(call: Callable[[], int]) -> float:
    began = time.perf_counter()
    assert call() in (200, 201)
    return time.perf_counter() - began


def medians(executor: Executor) -> list[float]:
    """How long quick calls take: a look at the health, and a small job with its output."""

    def run() -> int:
        return executor.call("PUT", f"/jobs/{uuid.uuid4()}?wait=25&linger=0", {"code": "1"}).status

    both = [(lambda: executor.call("GET", "/health").status), run]
    times = [[timed(call) for call in both] for _ in range(SAMPLES)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def test_two_hundred_slow_clients_delay_no_quick_call(executor: Executor) -> None:
    """In turn without and with the crowd. Other work on the machine only ever adds, so the quietest rounds count."""
    sleeper = executor.submit("import time\nprint('asleep', flush=True)\ntime.sleep(600)", session="other")
    executor.wait_for_output(sleeper, "asleep")
    executor.run("1")
    without, within = [], []
    for count in range(1, MOST_ROUNDS + 1):
        without.append(medians(executor))
        with (
            crowd(executor, "sender", EACH, "/health"),
            crowd(executor, "idle", EACH, "/"),
            crowd(executor, "reader", EACH, LARGE),
            crowd(executor, "poll", EACH, f"/jobs/{sleeper}/events?after=9&wait=1"),
        ):
            within.append(medians(executor))
        best = list(zip(map(min, zip(*without, strict=True)), map(min, zip(*within, strict=True)), strict=True))
        if count >= LEAST_ROUNDS and all(slowed < 2 * quiet for quiet, slowed in best):
            break
    else:
        pytest.fail(f"health and a job, without and with the crowd, in seconds: {best}")


def test_more_slow_downloads_than_there_are_slots_are_put_off(executor: Executor) -> None:
    with crowd(executor, "reader", DOWNLOADS, LARGE):
        reply = executor.call("GET", LARGE)
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (503, "busy", True)
        assert reply.headers["Retry-After"] == str(reply.json["retry_after_sec"]) == "5"
        assert executor.call("POST", "/files/bundle", {"path": "", "names": []}).status == 503
        assert executor.call("GET", LARGE, Range="bytes=0-1048575").status == 206
        assert executor.call("GET", "/health").status == 200
    wait_until(lambda: executor.call("GET", LARGE, Range="bytes=0-2000000").status == 206)
    for _ in range(DOWNLOADS + 1):
        assert executor.call("HEAD", LARGE).status == 200
        assert executor.call("POST", "/files/bundle", {"path": "", "names": ["executor.log"]}).status == 200


def test_greedy_clients_leave_threads_and_connections_to_the_rest(executor: Executor) -> None:
    assert THREADS >= CONNECTIONS_KEPT > WAITS + EXECUTES + DOWNLOADS
    sleeper = executor.submit(f"print('asleep', flush=True)\n{SLEEP}", session="other")
    executor.wait_for_output(sleeper, "asleep")
    poll = f"/jobs/{sleeper}/events?after=9"
    with crowd(executor, "execute", 99, "/execute"):
        # Those that have no seat are answered, and did not run.
        wait_until(lambda: executor.session("greedy")["queued_jobs"] == EXECUTES - 1)
        refused = executor.call("POST", "/execute", {"code": "1"})
        assert (refused.status, refused.json["code"], refused.json["retry_after_sec"]) == (503, "busy", 5)
        with crowd(executor, "poll", 200, f"{poll}&wait=25"):
            assert executor.call("GET", "/health").status == 200
            assert executor.run("print(1)").stdout == "1\n"
    with crowd(executor, "poll", WAITS + 20, f"{poll}&wait=25"):
        wait_until(lambda: executor.call("GET", f"{poll}&wait=0.01").status == 503)
        reply = executor.call("GET", f"{poll}&wait=25")
        assert (reply.json["code"], reply.json["retryable"], reply.headers["Retry-After"]) == ("busy", True, "5")
        assert executor.call("GET", poll).status == 200
        reply = executor.call("PUT", f"/jobs/{uuid.uuid4()}?wait=25", {"code": SLEEP, "session": "third"})
        assert (reply.status, reply.json["job"]["finished_at"]) == (201, None)
    wait_until(lambda: executor.call("GET", f"{poll}&wait=0.01").status == 200)


@pytest.mark.parametrize("kind", ["idle", "sender"])
def test_connections_that_ask_nothing_give_way(executor: Executor, kind: str) -> None:
    sleeper = executor.submit("import time\nprint('asleep', flush=True)\ntime.sleep(2)\nprint('awake')")
    executor.wait_for_output(sleeper, "asleep")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(executor.follow, sleeper)
        with crowd(executor, kind, CONNECTIONS + 50, "/health"):
            assert executor.call("GET", "/health").status == 200
            assert waiting.result().stdout == "asleep\nawake\n"


def test_a_slot_is_free_again_when_its_body_is_read_closed_or_dropped() -> None:
    slots = Slots(1)

    def busy() -> bool:
        try:
            slots.hold(iter([b"x"])).close()  # type: ignore[attr-defined]
        except Busy:
            return True
        return False

    body = slots.hold(iter([b"a", b"b"]))
    assert busy()
    assert list(body) == [b"a", b"b"]
    for _ in range(2):
        body.close()  # type: ignore[attr-defined]
    assert not busy()
    body = slots.hold(iter([b"a"]))
    assert busy()
    del body
    assert not busy()

"""Slow clients do not block other calls. Their cost to others is measured by `benches/bridge/together.rs`."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from harness import Executor, wait_until
from slow_clients import connect

from smart_colab_executor.app import MAX_DOWNLOADS
from smart_colab_executor.core.errors import Busy
from smart_colab_executor.http.jobs import MAX_EXECUTES, MAX_WAITS
from smart_colab_executor.http.server import EVICT_IDLE_FROM_CONNECTIONS, MAX_CONNECTIONS, THREADS
from smart_colab_executor.http.slots import Slots

CROWD = Path(__file__).with_name("slow_clients.py")
EACH = 50
SLEEP = "import time\ntime.sleep(600)"
LARGE = "/files/download?path=large"


@contextmanager
def crowd(executor: Executor, kind: str, count: int, path: str) -> Iterator[None]:
    """Run slow clients in a separate process, so that they do not slow down this one's calls."""
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


def get(executor: Executor, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {executor.token}\r\n\r\n".encode()


def is_silent(client: socket.socket) -> bool:
    """Return whether nothing was received, not even the connection's end."""
    return not select.select([client], [], [], 0)[0]


def test_two_hundred_slow_clients_delay_no_quick_call(executor: Executor) -> None:
    gate = executor.root / "gate"
    code = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)\nprint('open')"
    poll = get(executor, f"/jobs/{executor.submit(code, session='other')}/events?after=1&wait=25&linger=0")
    host, port = executor.ready["url"].removeprefix("http://").split(":")
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(host, int(port), room=4096)) for _ in range(4 * EACH)]
        idle, senders, readers, polls = (crowd[first::4] for first in range(4))
        for client in readers:
            client.sendall(get(executor, LARGE))
        for client in readers:
            assert client.recv(12) == b"HTTP/1.1 200"
        for client in senders:
            client.sendall(get(executor, "/health")[:-2] + b"X-Padding: ")
        for client in polls:
            client.sendall(poll)

        def is_served_beside_all() -> bool:
            assert executor.call("GET", "/health").status == 200
            assert executor.run("print(1)").stdout == "1\n"
            # A poll is answered within 25 s. The calls may have waited for that, which is not counted.
            answered = [client for client in polls if not is_silent(client)]
            for client in answered:
                assert client.recv(65536)
                client.sendall(poll)
            return not answered

        wait_until(is_served_beside_all)
        assert all(map(is_silent, idle + senders))
        for client in senders:
            client.sendall(b"x\r\n\r\n")
        for client in idle:
            client.sendall(get(executor, "/health"))
        gate.touch()
        for client in idle + senders + polls:
            assert client.recv(12) == b"HTTP/1.1 200"
        for client in readers:
            assert client.recv(1024)


def test_slow_downloads_beyond_the_slots_are_refused(executor: Executor) -> None:
    with crowd(executor, "reader", MAX_DOWNLOADS, LARGE):
        reply = executor.call("GET", LARGE)
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (503, "busy", True)
        assert reply.headers["Retry-After"] == str(reply.json["retry_after_sec"]) == "5"
        assert executor.call("POST", "/files/bundle", {"path": "", "names": []}).status == 503
        assert executor.call("GET", LARGE, Range="bytes=0-1048575").status == 206
        assert executor.call("GET", "/health").status == 200
    wait_until(lambda: executor.call("GET", LARGE, Range="bytes=0-2000000").status == 206)
    for _ in range(MAX_DOWNLOADS + 1):
        assert executor.call("HEAD", LARGE).status == 200
        assert executor.call("POST", "/files/bundle", {"path": "", "names": ["executor.log"]}).status == 200


def test_greedy_clients_leave_threads_and_connections_to_others(executor: Executor) -> None:
    assert THREADS >= EVICT_IDLE_FROM_CONNECTIONS > MAX_WAITS + MAX_EXECUTES + MAX_DOWNLOADS
    sleeper = executor.submit(f"print('asleep', flush=True)\n{SLEEP}", session="other")
    executor.wait_for_output(sleeper, "asleep")
    poll = f"/jobs/{sleeper}/events?after=9"
    with crowd(executor, "execute", 99, "/execute"):
        # Requests without a seat are answered, and did not run.
        wait_until(lambda: executor.session("greedy")["queued_jobs"] == MAX_EXECUTES - 1)
        refused = executor.call("POST", "/execute", {"code": "1"})
        assert (refused.status, refused.json["code"], refused.json["retry_after_sec"]) == (503, "busy", 5)
        with crowd(executor, "poll", 200, f"{poll}&wait=25"):
            assert executor.call("GET", "/health").status == 200
            assert executor.run("print(1)").stdout == "1\n"
    with crowd(executor, "poll", MAX_WAITS + 20, f"{poll}&wait=25"):
        wait_until(lambda: executor.call("GET", f"{poll}&wait=0.01").status == 503)
        reply = executor.call("GET", f"{poll}&wait=25")
        assert (reply.json["code"], reply.json["retryable"], reply.headers["Retry-After"]) == ("busy", True, "5")
        assert executor.call("GET", poll).status == 200
        reply = executor.call("PUT", f"/jobs/{uuid.uuid4()}?wait=25", {"code": SLEEP, "session": "third"})
        assert (reply.status, reply.json["job"]["finished_at"]) == (201, None)
    wait_until(lambda: executor.call("GET", f"{poll}&wait=0.01").status == 200)


@pytest.mark.parametrize("kind", ["idle", "sender"])
def test_idle_connections_give_way(executor: Executor, kind: str) -> None:
    sleeper = executor.submit("import time\nprint('asleep', flush=True)\ntime.sleep(2)\nprint('awake')")
    executor.wait_for_output(sleeper, "asleep")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(executor.follow, sleeper)
        with crowd(executor, kind, MAX_CONNECTIONS + 50, "/health"):
            assert executor.call("GET", "/health").status == 200
            assert waiting.result().stdout == "asleep\nawake\n"


def test_a_slot_is_released_when_its_body_is_read_closed_or_dropped() -> None:
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

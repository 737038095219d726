"""The executor is reached through a kernel of a Jupyter server that has nothing of it installed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import PATIENCE, wait_until
from relay_helpers import Server, bare_python, package

from smart_colab_executor.wire import API_VERSION

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the bare Python is made of symbolic links")

PIECE = 3 * 1024 * 1024
LARGE = 20_000_000
UPLOADED = os.urandom(1024) * 8 * 1024
FIND_FLASK = "from importlib import metadata, util; print(util.find_spec('flask'), util.find_spec('markupsafe'))"


def executors(server: Server) -> list[psutil.Process]:
    """Return the executors of a server's home; kernels and processes that are ending are none."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if str(server.home) in " ".join(command) and any(part.endswith("launch.py") for part in command):
            found.append(process)
    return found


@contextmanager
def ended(server: Server) -> Iterator[None]:
    """End what a failed test leaves running."""
    try:
        yield
    finally:
        left = executors(server)
        for process in left:
            process.kill()
        psutil.wait_procs(left, PATIENCE)


def test_an_executor_runs_in_a_python_without_flask_and_keeps_its_token(tmp_path: Path) -> None:
    packed, python = package(), bare_python(tmp_path / "bare")
    digest, half = hashlib.sha256(packed).hexdigest(), len(packed) // 2
    with Server("jupyter_server", tmp_path, python) as server, ended(server), server.helper() as helper:
        hello = helper.got("hello")
        assert (hello["relay"], hello["root"], hello["packages"]) == (1, str(server.root), [])
        assert helper.refused("start", sha256=digest) == "no_package"
        assert helper.refused("http", method="GET", path="/probe") == "no_executor"
        assert helper.refused("package", sha256="../..", size=1, offset=0, data="") == "invalid"

        # Nothing of a damaged package is kept; pieces may come twice, but leave no gap.
        changed = packed[:half] + bytes([packed[half] ^ 1]) + packed[half + 1 :]
        assert helper.piece(digest, packed, 0, changed)["code"] == "damaged"
        assert helper.piece(digest, packed, half, packed[half:])["code"] == "out_of_order"
        assert helper.piece(digest, packed, 0, packed[:half])["received"] == half
        reply = helper.piece(digest, packed, half + 1, packed[half + 1 :])
        assert (reply["code"], reply["received"]) == ("out_of_order", half)
        assert helper.piece(digest, packed, 0, b"\0" + packed[1:])["code"] == "out_of_order"
        helper.install()
        assert helper.got("hello")["packages"] == []
        assert not list((server.home / ".cache" / "smart-colab").glob("packages/*"))
        assert helper.piece(digest, packed, half - 1, packed[half - 1 :])["received"] == len(packed)
        assert helper.give(packed) == digest
        assert helper.got("hello")["packages"] == [digest]

        started = helper.got("start", sha256=digest)
        assert started["is_new"] is True
        assert helper.got("start", sha256=digest) == {**started, "is_new": False}
        assert helper.run(FIND_FLASK) == b"None None\n"

        # A kernel of a notebook's, which the server restarts, can be used too.
        (running,) = executors(server)
        assert "--adopt-from" in running.cmdline()
        other = server.request("POST", "/api/kernels", {"name": "python3"})["id"]
        assert helper.run("x = 1; print('x' in globals())", f"kernel-{other}") == b"True\n"
        server.request("POST", f"/api/kernels/{other}/restart")
        assert helper.run("print('x' in globals())", f"kernel-{other}") == b"False\n"

        # Bodies in both directions arrive whole, in pieces.
        output = helper.run(f"print('0123456789' * {LARGE // 10}, end='')")
        assert len(output) == LARGE
        assert output == b"0123456789" * (LARGE // 10)
        place = f"/files/upload?path=sent.bin&size={len(UPLOADED)}&sha256={hashlib.sha256(UPLOADED).hexdigest()}"
        for offset in range(0, len(UPLOADED), PIECE):
            data = base64.b64encode(UPLOADED[offset : offset + PIECE]).decode()
            helper.got("upload", upload="a", offset=offset, data=data)
        assert helper.refused("upload", upload="a", offset=len(UPLOADED) + 1, data="AAAA") == "out_of_order"
        assert helper.http("PUT", place + "&offset=0", upload="a")[0] == 200
        assert helper.json("POST", place)["state"] == "complete"
        assert (server.root / "sent.bin").read_bytes() == UPLOADED
        assert helper.refused("http", method="PUT", path=place, upload="a") == "no_upload"

        # A reply that is not read to its end can be closed; the request's own token and length are not sent on.
        headers = [["Authorization", "Bearer wrong"], ["Content-Length", "7"], ["Host", "elsewhere"]]
        path = "/files/download?path=sent.bin"
        response = helper.got("http", method="GET", path=path, headers=headers)["response"]
        assert (response["status"], len(base64.b64decode(response["body"]))) == (200, PIECE)
        helper.install()  # by another bridge, say
        assert helper.got("read", stream=response["stream"])["end"] is False
        helper.got("close", stream=response["stream"])
        assert helper.refused("read", stream=response["stream"]) == "no_stream"
        assert helper.refused("http", path="/") == "invalid"
        names = helper.execute("", user_expressions={"found": "[n for n in dir() if n in ('RELAY', 'Relay', 'main')]"})
        assert names["user_expressions"]["found"]["data"] == {"text/plain": "[]"}

        folder = Path(started["state"])
        token = (folder / "token").read_text()
        assert token not in "".join(helper.replies)
        (process,) = executors(server)
        for one in (process, *process.children(recursive=True)):
            assert token not in " ".join(one.cmdline())
            assert token not in " ".join(one.environ().values())
        for log_file in (folder / "log", folder / "errors", server.log):
            assert token not in log_file.read_text()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
        assert modes[folder.name] == modes["state"] == 0o700
        assert modes["token"] == modes["ready.json"] == modes["errors"] == 0o600
        assert stat.S_IMODE((server.home / ".cache" / "smart-colab").stat().st_mode) == 0o700


def test_an_executor_outlives_its_helpers_and_ends_with_the_server(tmp_path: Path) -> None:
    packed = package()
    with Server("jupyter_server", tmp_path, bare_python(tmp_path / "bare")) as server, ended(server):
        with server.helper() as first, server.helper() as second:
            digest = first.give(packed)
            second.give(packed)
            # Both at once: one starts it, the other one attaches.
            asked = [(helper, helper.send("control", "sc_start", {"sha256": digest})) for helper in (first, second)]
            one, other = (helper.wait(message, "sc_start_reply") for helper, message in asked)
            assert (one["boot_id"], one["port"]) == (other["boot_id"], other["port"])
            assert sorted((one["is_new"], other["is_new"])) == [False, True]
            wait_until(lambda: len(executors(server)) == 1)

            flag = server.root / "flag"
            first.run("x = 41")
            job = first.submit(
                f"import os, time\nprint('on')\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.05)\nprint(x + 1)"
            )
            # Neither a request that is held nor code that runs in the helper itself keeps another one from its answer.
            held = {"method": "GET", "path": f"/jobs/{job}/events?after=1000&wait=25", "timeout_sec": PATIENCE}
            held_id = first.send("control", "sc_http", held)
            first.send("shell", "execute", {"code": "import time; time.sleep(600)", "silent": True})
            assert first.json("GET", f"/jobs/{job}")["job"]["state"] == "running"
            assert held_id not in first.answered
            server.request("POST", f"/api/kernels/{first.kernel}/restart")
            first.install()
            assert first.refused("http", method="GET", path="/probe") == "no_executor"
            assert first.got("start", sha256=digest)["boot_id"] == one["boot_id"]
            server.request("DELETE", f"/api/kernels/{first.kernel}")
            flag.touch()
            assert second.log(job) == b"on\n42\n"

            # Another package replaces an executor that holds variables only if it speaks another version of the API.
            newer = repacked(packed)
            other_digest = second.give(newer)
            assert second.got("start", sha256=other_digest)["boot_id"] == one["boot_id"]
            assert second.got("start", sha256=other_digest, api=API_VERSION)["boot_id"] == one["boot_id"]
            replaced = second.got("start", sha256=other_digest, api=999)
            assert (replaced["is_new"], replaced["boot_id"] != one["boot_id"]) == (True, True)
            assert second.log(job) == b"on\n42\n"

            # Its port is taken by another program, which learns nothing of the token.
            wait_until(lambda: len(executors(server)) == 1)
            (process,) = executors(server)
            process.kill()
            process.wait(PATIENCE)
            with program_at(replaced["port"]) as requests:
                again = second.got("start", sha256=other_digest)
            assert again["boot_id"] not in (replaced["boot_id"], one["boot_id"])
            assert requests
            assert not any("Authorization" in headers for headers in requests)
            assert second.run("y = 2; print(1)") == b"1\n"

            # The folder of caches is cleared: what runs is found again, with its variables.
            shutil.rmtree((server.home / ".cache").rename(server.home / "cleared"))
            assert second.refused("start", sha256=other_digest) == "no_package"
            second.give(newer)
            assert second.got("start", sha256=other_digest)["boot_id"] == again["boot_id"]
            assert second.run("print(y)") == b"2\n"
        (process,) = executors(server)
        server.process.terminate()
        process.wait(PATIENCE)


def repacked(packed: bytes) -> bytes:
    """Return the same package as other bytes."""
    return gzip.compress(gzip.decompress(packed), compresslevel=1)


@contextmanager
def program_at(port: int) -> Iterator[list[Any]]:
    """Serve something else at a port; yield the headers of the requests to it."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield requests
        finally:
            served.shutdown()
            thread.join()


def test_a_kernel_gateway_is_as_good_as_a_jupyter_server(tmp_path: Path) -> None:
    python = bare_python(tmp_path / "bare")
    with Server("kernel_gateway", tmp_path, python) as server, ended(server), server.helper() as helper:
        digest = helper.give(package())
        assert helper.got("start", sha256=digest)["is_new"] is True
        assert len(helper.run(f"print('x' * {PIECE * 2})")) == PIECE * 2 + 1

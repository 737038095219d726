"""Large bodies and replies when the disk has no room for temporary files."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor
from waitress import buffers
from waitress.adjustments import Adjustments

from smart_colab_executor.http import server
from smart_colab_executor.wire import API_VERSION

LARGE = 4 * 1024 * 1024


def test_a_full_disk_truncates_no_body_and_no_reply(start: Callable[..., Executor], tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("it needs a limit to the size of files")
    import resource

    limit = 640 * 1024
    (tmp_path / "large").write_text("x" * 99 + "\n" * LARGE)
    executor = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    with contextlib.ExitStack() as held:
        # Unfinished bodies take the memory that is used before the disk.
        for _ in range(2):
            host, port = executor.ready["url"].removeprefix("http://").split(":")
            other = held.enter_context(socket.create_connection((host, int(port))))
            size = server.MAX_BUFFERED_BODY_BYTES - 1
            other.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size - 1))
        check(executor, tmp_path)
    assert executor.run("print(1)").stdout == "1\n"


def check(executor: Executor, tmp_path: Path) -> None:
    for _ in range(3):
        refused = executor.call("POST", "/cleanup", {"session": "nobody", "padding": "x" * LARGE})
        assert (refused.status, refused.json["code"]) == (404, "not_found")
        reply = executor.call("GET", f"/files/read?path=large&lines=10000&max_bytes={LARGE}")
        assert reply.status == 200
        assert executor.call("GET", "/files/download?path=large").body == (tmp_path / "large").read_bytes()


def test_a_body_is_refused_when_disk_and_memory_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_SPILLED_BYTES", 20_000)
    monkeypatch.setattr(server, "MAX_KEPT_BYTES", 10_000)
    monkeypatch.setattr(server._Buffer, "folder", tmp_path / "missing")
    monkeypatch.setattr(buffers, "TempfileBasedBuffer", server._Buffer)
    parser = server._Parser(Adjustments(inbuf_overflow=600))
    parser.received(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n")
    for _ in range(5):
        parser.received(b"x" * 9000)
    assert parser.completed
    status, headers, body = parser.error.to_response()
    assert status == "507 Insufficient Storage"
    assert ("X-Smart-Colab-Api", str(API_VERSION)) in headers
    assert b'"code":"disk_full"' in body
    parser.close()
    assert server._Spill._held == 0


@pytest.mark.parametrize("kept", [0, 10, 20])
@pytest.mark.parametrize("disk_takes", [0, 5, 12, 10_000])
def test_a_spill_continues_in_memory_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_takes: int, kept: int
) -> None:
    class Disk(io.FileIO):
        """Accepts a limited number of bytes, and part of a write beyond."""

        def write(self, data: object) -> int:
            room = disk_takes - self.tell()
            if room <= 0:
                raise OSError(28, "no room")
            return super().write(bytes(data)[:room])  # type: ignore[call-overload]

    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Disk(tmp_path / "file", "r+b"))
    monkeypatch.setattr(server, "MAX_KEPT_BYTES", kept)
    spill = server._Spill(tmp_path)
    for part in (b"0123456789", b"abcdefghij"):
        assert spill.write(part) == 10
    assert spill.tell() == 20
    is_on_disk = kept < 20 <= disk_takes
    assert (tmp_path / "file").stat().st_size == 20 if is_on_disk else server._Spill._held == 20
    spill.seek(5)
    assert spill.read(10) == b"56789abcde"
    assert spill.read() == b"fghij"
    spill.close()
    assert server._Spill._held == 0

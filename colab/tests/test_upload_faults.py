"""Uploads on a full disk, with leftovers, and over HTTP with an executor that is killed."""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from harness import Executor, Reply
from upload_helpers import DATA, STATE, add, hidden, named

from smart_colab_executor.core import disk
from smart_colab_executor.core.errors import DiskFull, ExecutorError
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.files.partials import note_partials, remove_leftovers
from smart_colab_executor.files.uploads import Upload, Uploads
from smart_colab_executor.http.problems import problem

PIECE = 4 * 1024 * 1024


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class TestFullDisk:
    def test_an_upload_that_does_not_fit_is_refused_before_writing(
        self, uploads: Uploads, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = named(uploads, "deep/a.bin")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, len(DATA) - 1))
        message = f"{len(DATA)} more bytes.* {len(DATA) - 1} free"
        with pytest.raises(DiskFull, match=message):
            add(uploads, upload, 0, 10)
        with pytest.raises(DiskFull, match=message):
            uploads.look(upload)
        assert hidden(root) == []
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))  # a drive that reports nothing
        assert add(uploads, upload, 0, 10)["received"] == [(0, 10)]

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT] if hasattr(errno, "EDQUOT") else [errno.ENOSPC])
    def test_recorded_pieces_survive_a_full_disk(self, uploads: Uploads, code: int) -> None:
        class Full(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell():
                    raise OSError(code, "No space left on device")
                return super().read(size)

        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, 400_000)
        with pytest.raises(DiskFull) as caught:
            uploads.add(upload, 400_000, 600_000, Full(DATA[400_000:]))
        assert "kept" in caught.value.hint
        assert upload.partial.stat().st_size == 400_000  # a failed piece takes no disk space
        assert uploads.look(upload)["received"] == [(0, 400_000)]
        add(uploads, upload, 400_000, len(DATA))
        assert uploads.finish(upload, None)["state"] == "complete"

    def test_a_piece_that_cannot_be_recorded_does_not_count(
        self, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, 400_000)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(disk, "write_whole", full)
            with pytest.raises(DiskFull):
                add(uploads, upload, 400_000, 500_000)
        assert uploads.look(upload)["received"] == [(0, 400_000)]


class TestLeftovers:
    @pytest.fixture
    def upload(self, uploads: Uploads) -> Upload:
        upload = named(uploads, "deep/a.bin")
        add(uploads, upload, 0, 400_000)
        return upload

    def test_old_uploads_are_removed_at_startup(self, uploads: Uploads, root: Path, upload: Upload) -> None:
        (note,) = (root / STATE / "uploads").glob("*.json")
        for days, is_kept in ((6.9, True), (7.1, False)):
            then = time.time() - days * 86_400
            os.utime(note, (then, then))
            remove_leftovers(root / STATE / "uploads", at_start=True)
            assert upload.partial.exists() is note.exists() is is_kept

    def test_while_it_runs_old_uploads_are_removed_and_bundles_left_alone(self, root: Path, upload: Upload) -> None:
        notes = root / STATE / "uploads"
        (note,) = notes.glob("*.json")
        note_partials(notes / "bundle.json", [root / "of-a-bundle"])
        then = time.time() - 8 * 86_400
        for one in notes.glob("*.json"):
            os.utime(one, (then, then))
        remove_leftovers(notes, at_start=False)
        assert not upload.partial.exists()
        assert not note.exists()
        assert (notes / "bundle.json").exists()

    def test_a_discarded_upload_leaves_nothing_and_begins_again(
        self, uploads: Uploads, root: Path, upload: Upload
    ) -> None:
        for _ in range(2):
            assert uploads.discard(upload)["received"] == []
            assert not upload.partial.exists()
            assert not list((root / STATE / "uploads").glob("*.json"))
        assert uploads.look(upload)["received"] == []
        assert add(uploads, upload, 0, 400_000)["received"] == [(0, 400_000)]

    def test_malformed_records_do_not_block_removal(self, root: Path, upload: Upload) -> None:
        folder = root / STATE / "uploads"
        for number, content in enumerate([b"", b"[]", b'{"received":[]}', b'{"partials":5}', b'{"partials":[5]}']):
            (folder / f"{number}.json").write_bytes(content)
        remove_leftovers(folder, at_start=True)
        remove_leftovers(root / "none", at_start=True)
        assert upload.partial.exists()

    def test_partial_uploads_are_not_listed(self, root: Path, upload: Upload) -> None:
        files = Files(ContentRoot(root))
        (root / "deep/.smart-colab-x.partial").touch()
        for path, recursive, names in (
            ("deep", False, {".smart-colab-x.partial"}),
            ("", True, {"deep", "deep/.smart-colab-x.partial"}),
        ):
            listing = files.list(path, recursive, 100, None)
            assert {entry["name"] for entry in listing["entries"]} == names
            assert listing["total"] == len(names)


def test_every_error_gives_a_remedy(uploads: Uploads) -> None:
    errors: list[ExecutorError] = []
    for ask in (
        lambda: named(uploads, ""),
        lambda: named(uploads, "../x"),
        lambda: uploads.finish(named(uploads, "a"), None),
        lambda: add(uploads, named(uploads, "x" * 300), 0, 10),
    ):
        with pytest.raises(ExecutorError) as caught:
            ask()
        errors.append(caught.value)
    assert all(error.hint for error in errors)
    assert json.dumps([problem(error) for error in errors])


class Remote:
    """One upload, over HTTP."""

    def __init__(self, executor: Executor, path: str, data: bytes) -> None:
        self.executor = executor
        self.data = data
        self.query = urlencode({"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})

    def look(self) -> Any:
        return self.executor.get(f"/files/upload?{self.query}")

    def put(self, offset: int) -> Reply:
        return self.executor.call("PUT", self.target(offset), self.data[offset : offset + PIECE])

    def target(self, offset: int) -> str:
        return f"/files/upload?{self.query}&offset={offset}"

    def finish(self, **more: str) -> Reply:
        return self.executor.call("POST", f"/files/upload?{self.query}&{urlencode(more)}")


def test_a_file_is_uploaded_over_many_http_connections(executor: Executor) -> None:
    data = random.Random(7).randbytes(5 * PIECE + 12_345)
    remote = Remote(executor, "/content/up/名 & é+.bin", data)
    if Path("/content").is_dir():
        pytest.skip("this machine has a /content")
    assert remote.look()["received"] == []
    assert remote.finish().json["code"] == "incomplete"
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(remote.put, range(0, len(data), PIECE)))
    assert {reply.status for reply in replies} == {200}
    done = remote.finish(modified_at="2001-02-03T04:05:06.789Z").json
    assert (done["state"], done["received"]) == ("complete", [[0, len(data)]])
    assert done["path"] == str(executor.root / "up/名 & é+.bin")
    assert (executor.root / "up/名 & é+.bin").read_bytes() == data
    assert executor.get(f"/files/stat?{remote.query}")["modified_at"] == "2001-02-03T04:05:06.789Z"


@pytest.mark.parametrize(
    "change",
    [
        {"size": "-1"},
        {"size": "x"},
        {"size": ""},
        {"sha256": ""},
        {"sha256": "A" * 64},
        {"sha256": "g" * 64},
        {"id": "0" * 63},
        {"id": "0" * 64, "digest": "0" * 64},
        {"id": "0" * 64, "digest": "md5:" + "0" * 64},
        {"id": "0" * 64, "digest": "sha256:0"},
        {"path": "a\0b"},
    ],
)
def test_malformed_upload_parameters_are_refused(executor: Executor, change: dict[str, str]) -> None:
    query = urlencode({"path": "x", "size": "5", "sha256": "0" * 64, "offset": "0", **change})
    for method in ("GET", "PUT", "POST"):
        reply = executor.call(method, f"/files/upload?{query}", b"" if method == "GET" else b"x")
        assert (reply.status, reply.json["code"]) == (400, "invalid_argument")


def test_malformed_pieces_and_times_are_refused(executor: Executor) -> None:
    remote = Remote(executor, "malformed", b"12345")
    for query, body, status in (("offset=-1", b"x", 400), ("", b"x", 400), ("offset=0", bytes((8 << 20) + 1), 413)):
        reply = executor.call("PUT", f"/files/upload?{remote.query}&{query}", body)
        assert (reply.status, reply.json["code"]) == (status, "invalid_argument")
    assert remote.put(0).status == 200
    for time_given in ("yesterday", "2001-02-03T04:05:06"):
        assert remote.finish(modified_at=time_given).status == 400
    assert remote.finish().json["state"] == "complete"


def test_a_chunked_piece_is_received_whole(executor: Executor) -> None:
    """Send chunks, like a client that does not know the length."""
    remote = Remote(executor, "chunked", b"0123456789")
    host, port = executor.ready["url"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {remote.target(0)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {executor.token}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n".encode())
        assert connection.recv(12).endswith(b"200")
    assert remote.finish().json["state"] == "complete"


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_an_executor_killed_during_an_upload_leaves_the_recorded_pieces(start: Callable[..., Executor]) -> None:
    data = random.Random(8).randbytes(6 * PIECE)
    first = start()
    remote = Remote(first, "a.bin", data)
    stop, noted = threading.Event(), [0]

    def keep_sending() -> None:
        for offset in range(0, len(data), PIECE):
            try:
                assert remote.put(offset).status == 200
            except OSError:
                return
            noted[0] += PIECE
            if noted[0] == 2 * PIECE:
                stop.set()

    sender = threading.Thread(target=keep_sending)
    sender.start()
    assert stop.wait(30)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    sender.join()
    remote.executor = start()
    ((begin, end),) = remote.look()["received"]
    assert begin == 0
    assert end >= noted[0]
    for offset in range(end, len(data), PIECE):
        assert remote.put(offset).status == 200
    assert remote.finish().json["state"] == "complete"
    assert (first.root / "a.bin").read_bytes() == data
    assert [*first.root.rglob("*.partial"), *(first.root / STATE / "uploads").iterdir()] == []

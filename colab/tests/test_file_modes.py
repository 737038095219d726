"""Properties of files besides their bytes: execute permission, and holes for zeros."""

import os
from pathlib import Path

import pytest
from test_bundles import packed
from upload_helpers import STATE, add, named, send

from smart_colab_executor.files.bundles import Bundles
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.files.uploads import BLOCK, Uploads

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no modes, and no holes by default")


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


@pytest.fixture(params=[0o022, 0o077])
def allowed(request: pytest.FixtureRequest) -> object:
    """Set a umask; return the modes of a new file and of a new program."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param, 0o777 & ~request.param
    os.umask(before)


class TestExecutable:
    def test_an_upload_is_as_executable_as_the_umask_allows(
        self, uploads: Uploads, root: Path, allowed: tuple[int, int]
    ) -> None:
        for name, is_program in (("a.txt", False), ("run.sh", True)):
            upload = named(uploads, name)
            add(uploads, upload, 0, upload.size)
            assert uploads.look(upload)["executable"] is None
            assert uploads.finish(upload, None, is_program)["executable"] is is_program
            assert mode(root / name) == allowed[is_program]
            assert uploads.look(upload)["executable"] is is_program

    def test_an_existing_file_becomes_executable_and_stays_so(self, uploads: Uploads, root: Path) -> None:
        (root / "run.sh").write_bytes(b"#!/bin/sh\n")
        (root / "run.sh").chmod(0o640)
        upload = named(uploads, "run.sh", b"#!/bin/sh\n")
        assert uploads.look(upload)["executable"] is False
        assert uploads.finish(upload, None, True)["executable"] is True
        assert mode(root / "run.sh") == 0o750
        send(uploads, "run.sh", b"another")
        assert mode(root / "run.sh") == 0o750

    def test_bundles_preserve_the_executable_flag_both_ways(self, root: Path, allowed: tuple[int, int]) -> None:
        bundles = Bundles(ContentRoot(root), root / STATE / "uploads")
        (old,) = bundles.write("", packed({"old": b"x"}))  # a bridge that does not send the flag
        (new,) = bundles.write("", packed({"run.sh": b"x"}, executable=True))
        assert (old["executable"], new["executable"]) == (False, True)
        assert [mode(root / name) for name in ("old", "run.sh")] == list(allowed)
        sent = b"".join(bundles.read("", ["old", "run.sh"]))
        assert [b'"executable":true' in line for line in sent.splitlines()[:2]] == [False, True]

    def test_listings_report_the_executable_flag(self, root: Path) -> None:
        (root / "a").touch(0o644)
        (root / "b").touch(0o755)
        (root / "folder").mkdir()
        files = Files(ContentRoot(root))
        entries = files.list("", False, 10, None)["entries"]
        assert [entry["executable"] for entry in entries] == [False, True, None]
        assert files.stat("b", None)["executable"] is True


class TestHoles:
    def test_zeros_take_no_disk_space(self, uploads: Uploads, root: Path) -> None:
        data = b"begin" + bytes(20 * BLOCK) + b"end" + bytes(4 * BLOCK)
        upload = named(uploads, "a.bin", data)
        for start in (10 * BLOCK, 0, 20 * BLOCK):  # out of order, as from concurrent requests
            add(uploads, upload, start, min(start + 10 * BLOCK, len(data)), data)
        assert uploads.finish(upload, None)["state"] == "complete"
        assert (root / "a.bin").read_bytes() == data
        assert (root / "a.bin").stat().st_blocks * 512 <= 4 * BLOCK

    def test_a_file_of_only_zeros_keeps_its_length(self, uploads: Uploads, root: Path) -> None:
        for size in (1, BLOCK - 1, BLOCK, 3 * BLOCK + 1):
            assert send(uploads, f"{size}.bin", bytes(size))["state"] == "complete"
            assert (root / f"{size}.bin").read_bytes() == bytes(size)

    def test_zeros_overwrite_earlier_bytes(self, uploads: Uploads, root: Path) -> None:
        data = bytes(2 * BLOCK)
        upload = named(uploads, "a.bin", data)
        add(uploads, upload, 0, BLOCK, data)
        upload.partial.write_bytes(b"x" * 2 * BLOCK)  # like after a power failure
        add(uploads, upload, BLOCK, 2 * BLOCK, data)
        assert upload.partial.read_bytes() == b"x" * BLOCK + bytes(BLOCK)

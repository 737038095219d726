"""Uploads that replace only the expected file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upload_helpers import add, hidden, named, send

from smart_colab_executor.core.errors import FileChanged
from smart_colab_executor.files.digests import etag_of
from smart_colab_executor.files.uploads import Upload, Uploads
from smart_colab_executor.http.problems import problem


def sent(uploads: Uploads, data: bytes) -> Upload:
    upload = named(uploads, "a.ipynb", data)
    add(uploads, upload, 0, len(data), data)
    return upload


def test_only_the_expected_file_is_replaced(uploads: Uploads, root: Path) -> None:
    assert uploads.finish(sent(uploads, b"one"), None, expected="absent")["state"] == "complete"
    first = etag_of((root / "a.ipynb").stat())
    assert uploads.finish(sent(uploads, b"two"), None, expected=first)["state"] == "complete"
    for expected in (first, "absent"):
        with pytest.raises(FileChanged) as fault:
            uploads.finish(sent(uploads, b"three"), None, expected=expected)
        assert problem(fault.value)["status"] == 412
        assert (root / "a.ipynb").read_bytes() == b"two"
        assert not hidden(root)


def test_a_repeated_request_finds_its_file(uploads: Uploads, root: Path) -> None:
    upload = sent(uploads, b"one")
    for _ in range(2):
        assert uploads.finish(upload, None, expected="absent")["state"] == "complete"
    assert (root / "a.ipynb").read_bytes() == b"one"


def test_of_simultaneous_replacements_one_is_carried_out(uploads: Uploads, root: Path) -> None:
    send(uploads, "a.ipynb", b"start")
    for turn in range(20):
        etag = etag_of((root / "a.ipynb").stat())
        writers = [sent(uploads, b"%d by %d" % (turn, writer)) for writer in range(4)]

        def finish(upload: Upload, etag: str = etag) -> bool:
            try:
                return uploads.finish(upload, None, expected=etag)["state"] == "complete"
            except FileChanged:
                return False

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(finish, writers)) == 1

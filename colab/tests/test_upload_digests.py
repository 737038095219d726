"""Uploads whose digest is sent last, and computed while they arrive."""

import hashlib
from pathlib import Path

import pytest
from upload_helpers import DATA, add, hidden, uploads_in

from smart_colab_executor.core.errors import Damaged, InvalidArgument
from smart_colab_executor.files.digests import ALGORITHMS, FASTEST, Digest
from smart_colab_executor.files.uploads import Upload, Uploads

PIECE = 100_000
NAME = "0123456789abcdef" * 4


def digest_of(data: bytes, algorithm: str = FASTEST) -> Digest:
    hasher = ALGORITHMS[algorithm]()
    hasher.update(memoryview(data))
    return Digest(algorithm, hasher.hexdigest())


def named(uploads: Uploads, digest: Digest | None = None) -> Upload:
    return uploads.find("a.bin", len(DATA), NAME, digest)


def pieces(uploads: Uploads, start: int = 0, stop: int = len(DATA), data: bytes = DATA) -> None:
    for at in range(start, stop, PIECE):
        add(uploads, named(uploads), at, at + PIECE, data)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the lengths that are hashed from now on."""
    lengths: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._real = hashlib.sha256()

        def update(self, data: memoryview, /) -> None:
            lengths.append(len(data))
            self._real.update(data)

        def hexdigest(self) -> str:
            return self._real.hexdigest()

    monkeypatch.setitem(ALGORITHMS, FASTEST, Counting)
    return lengths


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_bytes_are_checked_against_the_digest_that_comes_last(uploads: Uploads, root: Path, algorithm: str) -> None:
    pieces(uploads)
    right = named(uploads, digest_of(DATA, algorithm))
    assert uploads.finish(right, None)["state"] == "complete"
    assert (root / "a.bin").read_bytes() == DATA
    assert uploads.finish(right, None)["state"] == "complete"  # the first answer was lost
    (root / "a.bin").unlink()
    pieces(uploads, data=DATA[::-1])
    with pytest.raises(Damaged):
        uploads.finish(right, None)
    assert hidden(root) == []


def test_each_byte_is_hashed_once_and_most_before_the_end(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = counted(monkeypatch)
    pieces(uploads, PIECE)  # all but the first
    assert lengths == []
    add(uploads, named(uploads), 0, PIECE)
    assert sum(lengths) == 2 * PIECE  # a piece is not kept waiting for all that came before it
    uploads.finish(named(uploads, digest_of(DATA)), None)
    assert sum(lengths) - len(DATA) == len(DATA)  # once here, and once by `digest_of`


def test_the_next_executor_hashes_again_what_it_finds(uploads: Uploads, root: Path) -> None:
    pieces(uploads, 0, 5 * PIECE)
    uploads = uploads_in(root)
    pieces(uploads, 5 * PIECE)
    assert uploads.finish(named(uploads, digest_of(DATA)), None)["state"] == "complete"


def test_bytes_that_replace_hashed_ones_are_hashed_themselves(uploads: Uploads, root: Path) -> None:
    pieces(uploads, 0, 5 * PIECE)
    other = bytes(len(DATA))
    add(uploads, named(uploads), 4 * PIECE, 6 * PIECE, other)
    pieces(uploads, 6 * PIECE)
    sent = DATA[: 4 * PIECE] + other[: 2 * PIECE] + DATA[6 * PIECE :]
    assert uploads.finish(named(uploads, digest_of(sent)), None)["state"] == "complete"
    assert (root / "a.bin").read_bytes() == sent


def test_a_file_of_the_same_size_is_compared_once_its_digest_is_known(uploads: Uploads, root: Path) -> None:
    (root / "a.bin").write_bytes(DATA)
    assert uploads.look(named(uploads))["state"] == "similar"
    assert uploads.look(named(uploads, digest_of(DATA)))["state"] == "complete"
    assert uploads.look(named(uploads, digest_of(b"")))["state"] == "open"
    pieces(uploads, 0, PIECE)
    assert uploads.look(named(uploads))["state"] == "open"


def test_a_piece_after_the_finish_leaves_nothing(uploads: Uploads, root: Path) -> None:
    pieces(uploads)
    uploads.finish(named(uploads, digest_of(DATA)), None)
    add(uploads, named(uploads), 0, PIECE)
    assert hidden(root) == []


def test_an_upload_is_not_finished_without_a_digest(uploads: Uploads) -> None:
    pieces(uploads)
    with pytest.raises(InvalidArgument):
        uploads.finish(named(uploads), None)

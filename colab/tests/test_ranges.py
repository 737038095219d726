import gc
import itertools
import os
import random
import weakref
from pathlib import Path

import pytest

from smart_colab_executor.core.errors import InvalidArgument, IsADirectory, RangeNotSatisfiable
from smart_colab_executor.files.ranges import CHUNK, RangeReply, parse, serve

ETAG = '"abc"'
WHOLE = None


def read(reply: RangeReply) -> bytes:
    return b"".join(reply.body)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    file = tmp_path / "ten"
    file.write_bytes(b"0123456789")
    return file


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, WHOLE),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-4", (2, 5)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=0-99", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("Bytes = 1 - 2", (1, 3)),
        ("bytes=0-1,3-4", WHOLE),
        ("bytes=5-2", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=1_0-20", WHOLE),
        ("bytes=١-٢", WHOLE),
        ("bytes=" + "9" * 5000 + "-", WHOLE),
        ("lines=0-1", WHOLE),
        ("", WHOLE),
    ],
)
def test_a_range_header_is_parsed(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-0", 0)]
)
def test_a_range_outside_the_file_is_not_satisfiable(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse(header, size)
    assert caught.value.size == size


def test_a_suffix_range_of_an_empty_file_is_the_whole_file() -> None:
    assert parse("bytes=-5", 0) is WHOLE


def test_every_range_matches_pythons_slice(tmp_path: Path) -> None:
    """Compare every pair of numbers around the boundaries with Python's slicing."""
    data = random.Random(1).randbytes(7)
    file = tmp_path / "seven"
    file.write_bytes(data)
    numbers = ["", *map(str, range(9))]
    for first, last in itertools.product(numbers, numbers):
        header = f"bytes={first}-{last}"
        if first:
            wanted = data[int(first) : int(last) + 1 if last else None]
            malformed = bool(last) and int(last) < int(first)
        else:
            wanted = data[-int(last) :] if last and int(last) else b""
            malformed = not last
        try:
            reply = serve(file, ETAG, "x/y", header, None)
        except RangeNotSatisfiable:
            assert not malformed, header
            assert wanted == b"", header
            continue
        body = read(reply)
        assert (reply.status, body) == ((200, data) if malformed else (206, wanted)), header
        assert int(reply.headers["Content-Length"]) == len(body)
        if reply.status == 206:
            start = data.index(body)
            assert reply.headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/7"
        else:
            assert "Content-Range" not in reply.headers


def test_pieces_of_any_size_add_up_to_the_file(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(2 * CHUNK + 17)
    file = tmp_path / "large"
    file.write_bytes(data)
    for size in (CHUNK - 1, CHUNK, CHUNK + 1, len(data)):
        pieces = [
            read(serve(file, ETAG, "x/y", f"bytes={start}-{start + size - 1}", ETAG))
            for start in range(0, len(data), size)
        ]
        assert b"".join(pieces) == data


def test_the_whole_file_is_sent_in_chunks_with_headers(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(CHUNK + 1))
    reply = serve(file, ETAG, "text/plain", None, None)
    assert reply.status == 200
    assert reply.headers == {
        "Accept-Ranges": "bytes",
        "Content-Type": "text/plain",
        "ETag": ETAG,
        "Content-Length": str(CHUNK + 1),
    }
    assert [len(chunk) for chunk in reply.body] == [CHUNK, 1]


@pytest.mark.parametrize(
    ("etag", "if_range", "status"),
    [
        (ETAG, None, 206),
        (ETAG, ETAG, 206),
        (ETAG, '"other"', 200),
        (ETAG, "abc", 200),
        ('W/"abc"', 'W/"abc"', 200),
        (ETAG, 'W/"abc"', 200),
        (ETAG, "Sat, 21 Nov 2026 10:00:00 GMT", 200),
        (None, ETAG, 200),
    ],
)
def test_if_range_needs_the_same_strong_etag(ten: Path, etag: str | None, if_range: str | None, status: int) -> None:
    reply = serve(ten, etag, "x/y", "bytes=1-2", if_range)
    assert (reply.status, read(reply)) == (status, b"12" if status == 206 else b"0123456789")


def test_a_changed_file_is_sent_whole_even_for_an_unsatisfiable_range(ten: Path) -> None:
    assert serve(ten, ETAG, "x/y", "bytes=50-", '"before"').status == 200


def test_a_growing_file_sends_only_the_promised_bytes(ten: Path) -> None:
    reply = serve(ten, ETAG, "x/y", None, None)
    with ten.open("ab") as file:
        file.write(b"more")
    assert read(reply) == b"0123456789"


def test_a_shrinking_file_ends_early(ten: Path) -> None:
    reply = serve(ten, ETAG, "x/y", None, None)
    ten.write_bytes(b"012")
    assert read(reply) == b"012"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("way", ["unread", "part", "close", "end", "unsatisfiable"])
def test_the_file_is_closed_however_the_reply_ends(tmp_path: Path, way: str) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(3 * CHUNK))

    def open_files() -> int:
        return sum(os.path.realpath(entry) == str(file.resolve()) for entry in Path("/proc/self/fd").iterdir())

    if way == "unsatisfiable":
        with pytest.raises(RangeNotSatisfiable):
            serve(file, ETAG, "x/y", f"bytes={4 * CHUNK}-", None)
    else:
        reply = serve(file, ETAG, "x/y", None, None)
        assert open_files() == 1
        if way in ("part", "close"):
            next(reply.body)
        if way == "close":
            reply.body.close()  # type: ignore[attr-defined]
            assert list(reply.body) == []
        if way == "end":
            read(reply)
        else:
            gone = weakref.ref(reply.body)
            del reply
            gc.collect()
            assert gone() is None
    assert open_files() == 0


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    with pytest.raises(IsADirectory):
        serve(tmp_path, ETAG, "x/y", None, None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs are Unix")
def test_a_fifo_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument, match="not a regular file"):
        serve(tmp_path / "pipe", ETAG, "x/y", None, None)

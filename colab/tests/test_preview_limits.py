"""Files that are broken or made to do harm, and processes that go wrong, cost an error and nothing else."""

import gzip
import io
import os
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
import psutil
import pytest
from harness import Executor
from preview_helpers import TABLE, Desk, feather, npy, parquet, refused, saved, tarred, write_hdf5, write_sqlite, zipped

from smart_colab_executor.core.errors import NoPreview, OutsideRoot
from smart_colab_executor.files import previews as module
from smart_colab_executor.files.content_root import ContentRoot

GIB = 1024**3
unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


@pytest.fixture(autouse=True)
def nothing_stays() -> Any:
    """No process outlives its preview."""
    before = psutil.Process().children()
    yield
    assert [child for child in psutil.Process().children() if child not in before] == []


def hdf5(root: Path) -> bytes:
    write_hdf5(root / "whole.h5")
    return (root / "whole.h5").read_bytes()


def sqlite(root: Path) -> bytes:
    write_sqlite(root / "whole.db").close()
    return (root / "whole.db").read_bytes()


WHOLE: dict[str, Callable[[Path], bytes]] = {
    "npy": lambda _: npy(numpy.arange(1000)),
    "npz": lambda _: saved(numpy.savez, a=numpy.arange(1000)),
    "parquet": lambda _: parquet(TABLE),
    "feather": lambda _: feather(TABLE),
    "hdf5": hdf5,
    "sqlite": sqlite,
    "zip": lambda _: zipped({"a": b"x" * 10_000, "b": os.urandom(3000)}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_half_a_file_is_refused(desk: Desk, kind: str) -> None:
    whole = WHOLE[kind](desk.root)
    for size in (len(whole) // 2, 16, len(whole) - 1):
        (desk.root / "half").write_bytes(whole[:size])
        error = refused(desk, "half")
        assert error.hint == module.BROKEN_HINT


@pytest.mark.parametrize("kind", [*WHOLE, "tar", "tar.gz", "csv.gz"])
def test_noise_in_a_file_is_an_error_or_a_preview(desk: Desk, kind: str) -> None:
    others: dict[str, Callable[[Path], bytes]] = {
        "tar": lambda _: tarred({"a": b"x" * 9999, "b": b""}),
        "tar.gz": lambda _: tarred({"a": os.urandom(9999), "b": b""}, "w:gz"),
        "csv.gz": lambda _: gzip.compress(os.urandom(9999).hex().encode()),
    }
    whole = (WHOLE | others)[kind](desk.root)
    chance = numpy.random.default_rng(1)
    for _ in range(6):
        noisy = bytearray(whole)
        for at in chance.integers(16, len(noisy), 9):
            noisy[at] = chance.integers(256)
        (desk.root / "noisy").write_bytes(noisy)
        try:
            desk.look("noisy")
        except NoPreview as error:
            assert str(desk.root / "noisy") in error.detail  # noqa: PT017


def test_half_a_compressed_text_is_shown_as_far_as_it_goes(desk: Desk) -> None:
    lines = b"".join(b"%d,%s\n" % (number, os.urandom(9).hex().encode()) for number in range(1000))
    (desk.root / "half.csv.gz").write_bytes(gzip.compress(lines)[:9000])
    found = desk.look("half.csv.gz")
    assert lines.startswith(found["text"].encode())
    assert len(found["text"]) > 5000
    assert found["is_cut"] is True
    assert "cannot be unpacked" in found["note"]
    (desk.root / "head.csv.gz").write_bytes(gzip.compress(lines)[:12])
    assert "gzip" in refused(desk, "head.csv.gz").detail


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_half_a_tar_archive_is_listed_as_far_as_it_goes(desk: Desk, mode: str) -> None:
    whole = tarred({f"f{number}": os.urandom(5000) for number in range(9)}, mode)
    text = desk.show("half.tar", whole[: len(whole) // 2])
    assert "f0" in text
    assert "f8" not in text
    assert text.startswith("Tar archive")
    assert "or more" in text.splitlines()[0]
    assert "cannot be read from here on" in text.splitlines()[-1]


def lying_npy(shape: str, dtype: str = "'<f8'") -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(800)


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ("(10**3,)", "'<f8'", "malformed"),
        ("(1000000000000,)", "'<f8'", "promises 8,000,000,000,000 bytes"),
        ("(99999999999999999999, 99999999999999999999)", "'<f8'", "promises"),
        ("(-1,)", "'<f8'", "malformed"),
        ("(True,)", "'<f8'", "malformed"),
        ("7", "'<f8'", "malformed"),
        ("(1,)", "'<f99'", "malformed"),
        ("(1,)", "'|V999999999'", "promises"),
        ("(1,), 'x': __import__('os').abort()", "'<f8'", "malformed"),
        ("(1,)", "(" * 900 + ")" * 900, "malformed"),
    ],
)
def test_an_array_that_lies_is_refused(desk: Desk, shape: str, dtype: str, reason: str) -> None:
    (desk.root / "a.npy").write_bytes(lying_npy(shape, dtype))
    assert reason in refused(desk, "a.npy").detail
    (desk.root / "a.npz").write_bytes(zipped({"a.npy": lying_npy(shape, dtype)}))
    assert "NumPy archive: 1 array" in desk.show("a.npz")


def test_a_header_longer_than_any_array_needs_is_not_read(desk: Desk) -> None:
    (desk.root / "a.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 200_000)
    assert "longer than any array needs" in refused(desk, "a.npy").detail


def test_a_bomb_is_not_unpacked(desk: Desk) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as packing:
        for _ in range(300):
            packing.write(b"0123456789abcde\n" * 65_536)
    (desk.root / "a.csv.gz").write_bytes(bomb.getvalue())
    found = desk.look("a.csv.gz")
    assert (found["is_cut"], len(found["text"])) == (True, 64 * 1024)
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(lying_npy("(40000000,)")[:-800])
        for _ in range(320):
            member.write(bytes(1_000_000))
    text = desk.show("a.npz", zeros.getvalue())
    assert "40,000,000 float64" in text
    assert "[0. 0. 0. 0. 0.]" in text


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_listing_of_a_long_archive_ends(desk: Desk, mode: str) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for number in range(2000):
            archive.addfile(tarfile.TarInfo(f"f{number}"))
    text = desk.show("a.tar", file.getvalue())
    assert "2,000 entries, 0 bytes" in text.splitlines()[0]
    assert text.splitlines()[-1] == "[… 1,800 more entries …]"


def test_ten_gigabytes_cost_no_more_than_ten_kilobytes(desk: Desk) -> None:
    def sparse(name: str, head: bytes, tail: bytes = b"") -> None:
        with (desk.root / name).open("wb") as file:
            file.write(head)
            file.truncate(10 * GIB)
            file.seek(0, os.SEEK_END)
            file.write(tail)

    started = time.monotonic()
    header = npy(numpy.zeros(0))
    count = (10 * GIB - 128) // 8
    head = header.replace(b"(0,)", b"(%d,)" % count).replace(b" " * len(str(count - 1)), b"", 1)
    head = head[:127] + b"\n" if len(head) >= 128 else head.rstrip(b"\n").ljust(127) + b"\n"
    sparse("a.npy", head)
    assert f"NumPy array: {count:,} float64" in desk.show("a.npy")
    entry = tarfile.TarInfo("large")
    entry.size = 9 * GIB
    sparse("a.tar", entry.tobuf())
    assert "large" in desk.show("a.tar")
    for name, head in [
        ("a.parquet", b"PAR1"),
        ("a.feather", b"ARROW1\0\0"),
        ("a.zip", b"PK\x03\x04"),
        ("a.npz", zipped({"a.npy": b""})[:40]),
    ]:
        sparse(name, head)
        refused(desk, name)
    whole = sqlite(desk.root)
    sparse("a.db", whole)
    assert "2 rows" in desk.show("a.db")
    sparse("a.h5", hdf5(desk.root))
    assert "4 datasets" in desk.show("a.h5")
    sparse("b.parquet", b"PAR1", parquet(TABLE)[-8:])
    refused(desk, "b.parquet")
    assert time.monotonic() - started < 60
    for file in desk.root.iterdir():
        file.unlink()


def test_hdf5_that_asks_for_too_much_memory_shows_the_rest(desk: Desk) -> None:
    with h5py.File(desk.root / "a.h5", "w") as file:
        file.create_dataset("large", (2**32,), "f8", chunks=(2**26,), compression="gzip")
        file["small"] = [1, 2]
    text = desk.show("a.h5")
    assert "/large  4,294,967,296 float64, gzip" in text
    assert "too large to be read here" in text
    assert "[1 2]" in text


def test_a_row_with_millions_of_values_is_cut(desk: Desk) -> None:
    import pyarrow

    table = pyarrow.table({"v": [numpy.zeros(2_000_000)], "t": ["x" * 5_000_000]})
    for content in (parquet(table), feather(table)):
        text = desk.show("a", content)
        assert "[2,000,000 values: 0.0, " in text
        assert len(text) < 2000


def test_a_file_that_is_being_written_is_shown_once_it_is_whole(desk: Desk) -> None:
    whole = npy(numpy.arange(100_000))
    path = desk.root / "a.npy"
    with path.open("wb") as file:
        for start in range(0, len(whole), 200_000):
            file.write(whole[start : start + 200_000])
            file.flush()
            is_whole = path.stat().st_size == len(whole)
            if is_whole:
                assert "100,000 int64" in desk.show("a.npy")
            else:
                refused(desk, "a.npy")
    assert is_whole


def test_the_route_answers_as_api_md_has_it(executor: Executor) -> None:
    (executor.root / "route").mkdir(exist_ok=True)
    (executor.root / "route" / "a.npy").write_bytes(npy(numpy.arange(50)))
    (executor.root / "route" / "half.npy").write_bytes(npy([1, 2])[:-1])
    assert "first values, 20:" in executor.get("/files/preview?path=route/a.npy")["text"]
    assert "first values, 7:" in executor.get("/files/preview?path=route/a.npy&rows=7")["text"]
    for query, status, code in [
        ("path=route/half.npy", 422, "no_preview"),
        ("path=route/none.npy", 404, "not_found"),
        ("path=route", 409, "is_a_directory"),
        ("path=route/a.npy&rows=0", 400, "invalid_argument"),
        ("path=route/a.npy&rows=1001", 400, "invalid_argument"),
        ("path=../a.npy", 403, "outside_root"),
    ]:
        reply = executor.call("GET", f"/files/preview?{query}")
        assert (reply.status, reply.json["code"]) == (status, code)


def test_a_state_folder_is_not_previewed(root: Path) -> None:
    state = root / "state"
    state.mkdir()
    (state / "a.npy").write_bytes(npy([1]))
    with pytest.raises(OutsideRoot):
        module.Previews(ContentRoot(root, state)).make("state/a.npy", None)

"""What is shown of files that are no text, kind by kind."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy
import pyarrow
import pytest
from preview_helpers import TABLE, Desk, feather, npy, parquet, saved, tarred, write_hdf5, write_sqlite, zipped


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            numpy.arange(6.0).reshape(2, 3),
            ["NumPy array: 2×3 float64, 48 bytes", "all values, 2×3:", "[[0. 1. 2.]", " [3. 4. 5.]]"],
        ),
        (numpy.array(3.5), ["NumPy array: scalar float64, 8 bytes", "all values, scalar:", "3.5"]),
        (numpy.zeros((0, 3)), ["NumPy array: 0×3 float64, 0 bytes"]),
        (
            numpy.asfortranarray([[1, 2], [3, 4], [5, 6]]),
            ["NumPy array: 3×2 int64, Fortran order, 48 bytes", "all values, 3×2:", "[[1 2]", " [3 4]", " [5 6]]"],
        ),
        (
            numpy.arange(24, dtype="i1").reshape(2, 3, 4),
            [
                "NumPy array: 2×3×4 int8, 24 bytes",
                "first values, 1×3×4:",
                "[[[ 0  1  2  3]",
                "  [ 4  5  6  7]",
                "  [ 8  9 10 11]]]",
            ],
        ),
        (
            numpy.array([(1, "ü")], dtype=[("größe", "i4"), ("b", "U2")]),
            ["NumPy array: 1 [('größe', '<i4'), ('b', '<U2')], 12 bytes", "all values, 1:", "[(1, 'ü')]"],
        ),
        (
            numpy.array(["2026-01-02", "NaT"], "M8[D]"),
            ["NumPy array: 2 datetime64[D], 16 bytes", "all values, 2:", "['2026-01-02'        'NaT']"],
        ),
    ],
)
def test_an_array_is_shown_with_its_shape_type_and_first_values(desk: Desk, value: Any, shown: list[str]) -> None:
    assert desk.show("a.npy", npy(value)).splitlines() == shown


@pytest.mark.parametrize("order", ["C", "F"])
def test_of_a_large_array_a_corner_is_shown(desk: Desk, order: Any) -> None:
    value = numpy.asarray(numpy.arange(30_000).reshape(100, 300), order=order)
    text = desk.show("a.npy", npy(value))
    assert "first values, 20×10:" in text
    assert "[5700 5701 5702 5703 5704 5705 5706 5707 5708 5709]" in text
    assert "first values, 3×10:" in desk.show("a.npy", rows=3)


def test_what_follows_an_array_is_counted(desk: Desk) -> None:
    assert desk.show("a.npy", npy([1]) * 2).splitlines()[-1] == "[… 136 more bytes follow the array …]"


def test_objects_are_not_unpickled(desk: Desk, tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (witness,)

    value = numpy.array([Hostile()], dtype=object)
    text = desk.show("a.npy", npy(value))
    assert text.startswith("NumPy array: 1 object")
    assert "pickled" in text
    assert "pickled objects" in desk.show("a.npz", saved(numpy.savez, a=value))
    (desk.root / "a.pkl").write_bytes(pickle.dumps(Hostile()))
    assert desk.look("a.pkl")["text"] is None
    assert not witness.exists()


def test_the_arrays_of_an_archive_are_listed(desk: Desk) -> None:
    content = saved(numpy.savez_compressed, weights=numpy.ones((2, 500)), step=numpy.array(7))
    lines = desk.show("model.npz", content).splitlines()
    assert lines[0] == "NumPy archive: 2 arrays"
    assert lines[2].split() == ["weights", "2×500", "float64", "8,000", "[1.", "1.", "1.", "1.", "1.]"]
    assert lines[3].split() == ["step", "scalar", "int64", "8", "[7]"]
    assert desk.show("model.npz", rows=1).splitlines()[-1] == "[… 1 more array …]"


@pytest.mark.parametrize("write", [parquet, feather])
def test_a_table_is_shown_with_its_schema_and_first_rows(desk: Desk, write: Callable[..., bytes]) -> None:
    lines = desk.show("a.bin", write(TABLE)).splitlines()
    assert "50 rows, 6 columns, 1 r" in lines[0]
    assert lines[1:4] == ["schema:", "  id: int64", "  name: string"]
    assert "first 20 rows:" in lines
    head, first, *_ = lines[lines.index("first 20 rows:") + 1 :]
    assert head.split() == ["id", "name", "at", "list", "part", "kind"]
    assert first.split("  ")[0] == "0"
    assert "ä\\nb" in first
    assert "2026-09-21 14:13:20.123456789Z" in first
    assert "{'a': 1, 'b': b'\\x00'}" in first
    assert lines[-1].startswith("19  xxxxxxx")
    assert "…" in lines[-1]
    assert "[19 values: 0, 1, 2, 3, 4, …]" in lines[-1]
    assert len(lines[lines.index("first 20 rows:") + 2 :]) == 20
    few = desk.show("a.bin", rows=2).splitlines()
    assert len(few[few.index("first 2 rows:") + 2 :]) == 2


@pytest.mark.parametrize("write", [parquet, feather])
def test_empty_and_wide_tables_are_shown(desk: Desk, write: Callable[..., bytes]) -> None:
    assert "0 rows, 1 column" in desk.show("a", write(pyarrow.table({"a": pyarrow.array([], pyarrow.int8())})))
    wide = pyarrow.table({f"c{number}": [number] for number in range(500)})
    lines = desk.show("a", write(wide)).splitlines()
    assert "1 row, 500 columns" in lines[0]
    assert "[… 400 more columns …]" in lines
    assert lines[-1] == "[… 470 more columns …]"


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_the_rows_of_all_batches_are_counted(desk: Desk, compression: str) -> None:
    content = feather(pyarrow.table({"a": range(10_000)}), chunksize=1000, compression=compression)
    assert desk.show("a.feather", content).startswith("Feather (Arrow IPC): 10,000 rows, 1 column, 10 record batches\n")


class TestHdf5:
    def test_groups_datasets_and_attributes_are_listed(self, desk: Desk) -> None:
        write_hdf5(desk.root / "a.h5")
        lines = desk.show("a.h5").splitlines()
        assert lines[:2] == ["HDF5: 2 groups, 4 datasets", "  @version = 3"]
        for block in (
            ["/away  link to other.h5:/x"],
            ["/soft  link to /layer"],
            ["/layer  group", "    @name = dense"],
            ["/layer/kernel  2×3 float64, gzip", "    [[0. 1. 2.]", "     [3. 4. 5.]]"],
            ["/layer/text  2 object", "    [b'a' b'\\xc3\\xbc']"],
            ["/nothing  empty float32"],
            ["/scalar  scalar float64", "    1.5"],
        ):
            at = lines.index(block[0])
            assert lines[at : at + len(block)] == block

    def test_values_that_lie_in_other_files_are_not_read(self, desk: Desk) -> None:
        secret = desk.root.parent / "secret"
        secret.write_bytes(b"SECRETS!")
        with h5py.File(desk.root / "a.h5", "w") as file:
            file.create_dataset("x", (8,), "S1", external=[(str(secret), 0, 8)])
            layout = h5py.VirtualLayout((8,), "S1")
            layout[:] = h5py.VirtualSource(str(secret), "y", (8,))
            file.create_virtual_dataset("v", layout)
        text = desk.show("a.h5")
        assert text.count("[its values lie in other files]") == 2
        assert "S1" in text
        assert "E" not in text.replace("HDF5", "")

    def test_a_program_that_has_the_file_open_is_not_disturbed(self, desk: Desk) -> None:
        with h5py.File(desk.root / "a.h5", "w") as file:
            file["x"] = numpy.arange(3)
            file.flush()
            assert "/x  3 int64" in desk.show("a.h5")
            file["y"] = 1
            file.flush()


class TestSqlite:
    def test_tables_are_shown_with_their_schema_and_first_rows(self, desk: Desk) -> None:
        write_sqlite(desk.root / "a.db").close()
        before = sorted(desk.root.iterdir())
        lines = desk.show("a.db").splitlines()
        assert lines == [
            "SQLite: 1 table, 0 views",
            "",
            'table odd "name": 2 rows, 4 columns',
            "  id INTEGER, a b TEXT, c BLOB, d",
            f"id  a b{' ' * 37}  c          d",
            f"1   {'ü' * 39}…  [2 bytes]  null",
            f"2   {' ' * 40}  null       0.5",
        ]
        assert sorted(desk.root.iterdir()) == before

    def test_views_are_named_and_not_run(self, desk: Desk) -> None:
        with closing(write_sqlite(desk.root / "a.db")) as base:
            base.execute(
                "CREATE VIEW v AS WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT * FROM n"
            )
            base.execute("CREATE TABLE t2 (x)")
            base.executemany("INSERT INTO t2 VALUES (?)", [(number,) for number in range(9)])
            base.commit()
        lines = desk.show("a.db").splitlines()
        assert lines[0] == "SQLite: 2 tables, 1 view"
        assert lines[-1].startswith("  CREATE VIEW v AS WITH")
        assert "table t2: 9 rows, 1 column" in lines
        at = lines.index("table t2: 9 rows, 1 column")
        assert lines[at + 2 : at + 9] == ["x", "0", "1", "2", "3", "4", ""]

    def test_changes_that_are_not_saved_yet_are_named(self, desk: Desk) -> None:
        with closing(write_sqlite(desk.root / "a.db", wal=True)) as base:
            before = {path.name: path.read_bytes() for path in desk.root.iterdir()}
            assert sorted(before) == ["a.db", "a.db-shm", "a.db-wal"]
            found = desk.look("a.db")
            assert found["note"].startswith("a.db-wal holds changes")
            assert {path.name: path.read_bytes() for path in desk.root.iterdir()} == before
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert "2 rows" in desk.show("a.db")

    def test_a_writer_is_not_locked_out(self, desk: Desk) -> None:
        with closing(write_sqlite(desk.root / "a.db")) as base:
            base.execute("BEGIN EXCLUSIVE")
            assert "2 rows" in desk.show("a.db")
            base.execute("COMMIT")


def test_archives_are_listed(desk: Desk) -> None:
    files = {"a/ü.txt": b"x" * 1234, "../up": b"", "line\nbreak\x1b[31m": b"1"}
    assert desk.show("a.zip", zipped(files)).splitlines() == [
        "Zip archive: 3 entries, 1,235 bytes unpacked",
        "1,234  2026-11-21 10:00  a/ü.txt",
        "    0  2026-11-21 10:00  ../up",
        "    1  2026-11-21 10:00  line\\nbreak\\x1b[31m",
    ]
    for mode, what in (("w", "Tar archive"), ("w:gz", "Tar archive in gzip"), ("w:xz", "Tar archive in xz")):
        assert desk.show("a.bin", tarred(files, mode)).splitlines() == [
            f"{what}: 3 entries, 1,235 bytes unpacked",
            "1,234  2026-09-21 14:13  a/ü.txt",
            "    0  2026-09-21 14:13  ../up",
            "    1  2026-09-21 14:13  line\\nbreak\\x1b[31m",
        ]
    assert desk.show("a.zip", rows=1).splitlines()[2:] == ["[… 2 more entries …]"]
    assert desk.show("a.bin", rows=1).splitlines()[2:] == ["[… 2 more entries …]"]


def test_links_and_folders_in_an_archive_are_named(desk: Desk) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, target in [
            ("d", tarfile.DIRTYPE, ""),
            ("l", tarfile.SYMTYPE, "/etc/passwd"),
            ("h", tarfile.LNKTYPE, "d/x"),
        ]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    names = [line.split("  ")[-1] for line in desk.show("a.tar", file.getvalue()).splitlines()[1:]]
    assert names == ["d/", "l -> /etc/passwd", "h -> d/x"]


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_the_beginning_of_a_compressed_text_is_its_own(desk: Desk, pack: Callable[[bytes], bytes], ending: str) -> None:
    for name, content, mime in [
        ("t.csv", "a,ü\n1,2\n", "text/csv"),
        ("t.jsonl", '{"a": 1}\n', "text/plain"),
        ("t.json", "{}", "application/json"),
    ]:
        (desk.root / f"{name}.{ending}").write_bytes(pack(content.encode()))
        found = desk.look(f"{name}.{ending}")
        assert (found["text"], found["text_mime"], found["is_cut"], found["note"]) == (content, mime, False, None)
    (desk.root / "long.txt").write_bytes(pack(b"".join(b"line %d\n" % number for number in range(100_000))))
    found = desk.look("long.txt")
    assert found["is_cut"] is True
    assert 60_000 < len(found["text"]) <= 64 * 1024
    assert found["text"].endswith("\n")
    assert desk.show("empty", pack(b"")) == "[Nothing is in it.]\n"
    (desk.root / "binary").write_bytes(pack(npy([1])))
    assert desk.look("binary")["text"] is None


@pytest.mark.parametrize(
    "content",
    [b"text\n", b"", b"\0", b"\x89PNG\r\n\x1a\n\0", b"%PDF-1.7\n\0", zipped({"[Content_Types].xml": b"", "xl/a": b""})],
)
def test_other_files_have_no_preview(desk: Desk, content: bytes) -> None:
    (desk.root / "a.parquet").write_bytes(content)
    found = desk.look("a.parquet")
    assert (found["text"], found["text_mime"], found["missing_package"], found["is_cut"]) == (None, None, None, False)
    assert found["size"] == len(content)


def test_the_content_decides_and_not_the_name(desk: Desk) -> None:
    (desk.root / "a.csv").write_bytes(npy([1]))
    found = desk.look("a.csv")
    assert found["mime"] == "application/x-npy"
    assert found["text"].startswith("NumPy array: 1 int64")

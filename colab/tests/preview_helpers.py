"""Previews of files that a test writes."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from smart_colab_executor.core.errors import NoPreview
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.previews import Previews


class Desk:
    """A content root, and previews of what is put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.previews = Previews(ContentRoot(root))

    def look(self, name: str, rows: int | None = None) -> Any:
        return self.previews.make(name, rows)

    def show(self, name: str, content: bytes | None = None, rows: int | None = None) -> str:
        """The text of a preview that is the executor's own."""
        if content is not None:
            (self.root / name).write_bytes(content)
        found = self.look(name, rows)
        assert found["text_mime"] is None
        assert (found["missing_package"], found["note"]) == (None, None)
        assert isinstance(found["text"], str)
        return found["text"]


def saved(save: Callable[..., Any], *values: Any, **named: Any) -> bytes:
    """What `save` writes into a file."""
    file = io.BytesIO()
    save(file, *values, **named)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 21, 10, 0, 0)), content)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1_790_000_000
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def npy(value: Any) -> bytes:
    return saved(numpy.save, value)


def parquet(table: Any, **options: Any) -> bytes:
    return saved(lambda file, value: pyarrow.parquet.write_table(value, file, **options), table)


def feather(table: Any, **options: Any) -> bytes:
    return saved(lambda file, value: pyarrow.feather.write_feather(value, file, **options), table)


TABLE = pyarrow.table(
    {
        "id": pyarrow.array(range(50), pyarrow.int64()),
        "name": ["ä\nb", None, *(["x" * 99] * 48)],
        "at": pyarrow.array([1_790_000_000_123_456_789] * 50, pyarrow.timestamp("ns", "UTC")),
        "list": [list(range(number)) for number in range(50)],
        "part": [{"a": 1, "b": b"\x00"}] * 50,
        "kind": pyarrow.array(["k"] * 50).dictionary_encode(),
    }
)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["version"] = 3
        group = file.create_group("layer")
        group.attrs["name"] = "dense"
        group.create_dataset("kernel", data=numpy.arange(6.0).reshape(2, 3), compression="gzip")
        group["text"] = ["a", "ü"]
        file["scalar"] = 1.5
        file["nothing"] = h5py.Empty("f4")
        file["soft"] = h5py.SoftLink("/layer")
        file["away"] = h5py.ExternalLink("other.h5", "/x")
        group["again"] = file["layer"]


def write_sqlite(path: Path, *, wal: bool = False) -> sqlite3.Connection:
    base = sqlite3.connect(path)
    if wal:
        base.execute("PRAGMA journal_mode = WAL")
    base.execute('CREATE TABLE "odd ""name""" (id INTEGER PRIMARY KEY, "a b" TEXT, c BLOB, d)')
    base.executemany(
        'INSERT INTO "odd ""name""" VALUES (NULL, ?, ?, ?)', [("ü" * 50, b"\x00\x01", None), ("", None, 0.5)]
    )
    base.commit()
    return base


def refused(desk: Desk, name: str) -> NoPreview:
    with pytest.raises(NoPreview) as caught:
        pytest.fail(str(desk.look(name)["text"]))
    error = caught.value
    assert (error.code, error.retryable) == ("no_preview", False)
    assert error.detail.endswith(".")
    assert error.hint.endswith(".")
    assert str(desk.root / name) in error.detail
    return error

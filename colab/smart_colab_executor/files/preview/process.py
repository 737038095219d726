"""The process of a preview: reads the file that is its stdin, answers with a line of JSON, ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from io import BufferedReader
from typing import Any, NamedTuple

from .confinement import bound_memory, confine, take_stdout
from .layout import plain
from .request import Preview, Request, Unreadable

MAX_REASON_CHARS = 300
# The exit code where the file takes more memory than it may.
OUT_OF_MEMORY = 77

Read = Callable[[Request, BufferedReader, Callable[[], None]], Preview]
"""Reads the open file. The third is to be called before the content is read: from then on memory is bounded."""


class Reader(NamedTuple):
    """What reads a kind of file."""

    name: str
    """The kind's, in words."""
    module: str
    """In this folder."""
    function: str
    package: str
    """What it needs."""


ZIP = Reader("a zip archive", "archives", "read_zip", "zipfile")
READERS = {
    "application/vnd.apache.parquet": Reader("Parquet", "arrow", "read_parquet", "pyarrow"),
    "application/vnd.apache.arrow.file": Reader("Feather", "arrow", "read_feather", "pyarrow"),
    "application/x-npy": Reader("a NumPy array", "arrays", "read_npy", "numpy"),
    "application/x-npz": Reader("a NumPy archive", "arrays", "read_npz", "numpy"),
    "application/x-hdf5": Reader("HDF5", "hdf5", "read_hdf5", "h5py"),
    "application/vnd.sqlite3": Reader("SQLite", "sqlite", "read_sqlite", "sqlite3"),
    "application/zip": ZIP,
    "application/x-pytorch": ZIP,
    "application/x-tar": Reader("a tar archive", "archives", "read_tar", "tarfile"),
    "application/gzip": Reader("gzip", "compressed", "read_compressed", "gzip"),
    "application/x-bzip2": Reader("bzip2", "compressed", "read_compressed", "bz2"),
    "application/x-xz": Reader("xz", "compressed", "read_compressed", "lzma"),
}


def main() -> None:
    """Answer the request that is the first argument."""
    answer = take_stdout()
    request = Request(**json.loads(sys.argv[1]))
    # Behind all others: packages alone, without what a start of Python would run there.
    sys.path += [request.user_site] if request.user_site else []
    confine()
    found = json.dumps(_look(request)).encode()
    while found:
        found = found[os.write(answer, found) :]
    os._exit(0)  # libraries have nothing left to do


def _look(request: Request) -> dict[str, Any]:
    reader = READERS[request.kind]
    try:
        import_module(reader.package)
    except Exception as error:
        if _is_missing(error, reader.package):
            return {"missing_package": reader.package}
        return {"error": f"the package {reader.package} cannot be imported ({_reason(error)})"}
    try:
        read: Read = getattr(import_module(f".{reader.module}", __package__), reader.function)
        with open(0, "rb", closefd=False) as file:
            return read(request, file, lambda: bound_memory(request.max_memory_bytes)).fields()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:  # whatever a library says of a file that it cannot read
        return {"error": _reason(error)}


def _is_missing(error: Exception, package: str) -> bool:
    """Whether the package can be installed: a part of Python itself cannot."""
    is_own = package in sys.stdlib_module_names
    return isinstance(error, ModuleNotFoundError) and error.name == package and not is_own


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    named = text if isinstance(error, Unreadable) else f"{type(error).__name__}: {text}"
    return plain(named.rstrip(".: "), MAX_REASON_CHARS)

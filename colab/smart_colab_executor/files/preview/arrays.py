"""NumPy's arrays: the headers, and a corner of the values. Objects are pickles and are not read."""

from __future__ import annotations

import ast
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from typing import IO, Any

import numpy

from .layout import Page, counted
from .request import TABLE_ROWS, Patience, Preview, Request, Unreadable

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 64 * 1024
MAX_ITEM_BYTES = 1024 * 1024
CORNER_COLUMNS = 10
ARRAYS = 100
FIRST_VALUES = 5
LINE_WIDTH = 160


@dataclass(frozen=True)
class Header:
    """What a file says of its array."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: numpy.dtype[Any]
    offset: int
    """Where the values begin."""

    @property
    def nbytes(self) -> int:
        """Size of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def facts(self) -> str:
        """Shape and type in words."""
        shape = "×".join(f"{length:,}" for length in self.shape) or "scalar"
        return f"{shape} {self.dtype}"

    @property
    def is_readable(self) -> bool:
        """Whether its values can be read one by one, and without unpickling."""
        return not self.dtype.hasobject and 0 < self.dtype.itemsize <= MAX_ITEM_BYTES


def read_npy(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show a `.npy` file."""
    bound()
    header = read_header(file)
    size = file.seek(0, 2) - header.offset
    page = Page()
    order = ", Fortran order" if header.is_fortran and len(header.shape) > 1 else ""
    page.add(f"NumPy array: {header.facts}{order}, {counted(header.nbytes, 'byte', 'bytes')}")
    if header.dtype.hasobject:
        page.add(
            "[Its values are Python objects, which are pickled: they are not shown, since reading them runs code.]"
        )
        return Preview(page.text)
    if size < header.nbytes:
        raise Unreadable(f"its header promises {header.nbytes:,} bytes of {header.facts}, and {size:,} are there")
    if not header.is_readable:
        page.add(f"[Its items of {header.dtype.itemsize:,} bytes are not shown.]")
        return Preview(page.text)
    rows = request.rows or TABLE_ROWS
    corner = _corner(file, header, rows)
    if corner.size:
        what = "all" if corner.size == math.prod(header.shape) else "first"
        page.add(f"{what} values, {'×'.join(map(str, corner.shape)) or 'scalar'}:")
        page.add_lines(written(corner))
    if size > header.nbytes:
        page.add(f"[… {size - header.nbytes:,} more bytes follow the array …]")
    return Preview(page.text, page.is_cut)


def read_npz(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show the arrays of a `.npz` file."""
    bound()
    limit, patience = request.rows or ARRAYS, Patience()
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        page = Page()
        page.add(f"NumPy archive: {counted(len(entries), 'array', 'arrays')}")
        shown = list(islice(_described(archive, entries, patience), limit))
        page.add_table(["name", "shape and type", "bytes", "first values"], shown)
        page.add_more(len(entries) - len(shown), "array", "arrays")
    return Preview(page.text, page.is_cut)


def _described(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], patience: Patience
) -> Iterator[tuple[str, str, str, str]]:
    for entry in entries:
        if patience.is_over():
            return
        name = entry.filename.removesuffix(".npy")
        try:
            with archive.open(entry) as member:
                header = read_header(member)
                is_shown = header.is_readable and (len(header.shape) < 2 or not header.is_fortran)
                first = _run(member, header, min(FIRST_VALUES, math.prod(header.shape))) if is_shown else None
        except Unreadable:
            yield name, "no array", f"{entry.file_size:,}", ""
            continue
        values = "pickled objects" if header.dtype.hasobject else "" if first is None else written(first)
        yield name, header.facts, f"{header.nbytes:,}", values


def read_header(file: IO[bytes]) -> Header:
    """Read up to the values. Raises Unreadable."""
    start = file.read(8)
    if start[:6] != MAGIC or len(start) < 8:
        raise Unreadable("it does not begin as a NumPy array")
    major = start[6]
    if major not in (1, 2, 3):
        raise Unreadable(f"it is of version {major} of the format, which is not known here")
    field = file.read(2 if major == 1 else 4)
    length = int.from_bytes(field, "little")
    text = file.read(min(length, MAX_HEADER_BYTES))
    if len(text) < length:
        raise Unreadable("its header is not whole, or is longer than any array needs")
    try:
        said = ast.literal_eval(text.decode("utf-8" if major == 3 else "latin-1"))
        shape, is_fortran, description = said["shape"], said["fortran_order"], said["descr"]
        dtype = numpy.lib.format.descr_to_dtype(description)
    except Exception as error:
        raise Unreadable("its header is malformed") from error
    is_shape = isinstance(shape, tuple) and all(type(part) is int and part >= 0 for part in shape)
    if not is_shape or not isinstance(is_fortran, bool):
        raise Unreadable("its header is malformed")
    return Header(shape, is_fortran, dtype, len(start) + len(field) + length)


def written(values: numpy.ndarray[Any, Any]) -> str:
    """Return the values as NumPy shows them."""
    return numpy.array2string(values, max_line_width=LINE_WIDTH, threshold=values.size + 1)


def corner_of(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """How much of each dimension is shown: the last two in part, of the others the first."""
    last = shape[-2:]
    if len(last) == 2:
        last = (min(last[0], rows), min(last[1], CORNER_COLUMNS))
    else:
        last = tuple(min(length, rows) for length in last)
    return (*(min(length, 1) for length in shape[:-2]), *last)


def _corner(file: BufferedReader, header: Header, rows: int) -> numpy.ndarray[Any, Any]:
    """Read as much as is shown; of a file in Fortran order it lies in columns."""
    shape = header.shape[::-1] if header.is_fortran else header.shape
    corner = corner_of(header.shape, rows)
    stored = corner[::-1] if header.is_fortran else corner
    values = numpy.empty(stored, header.dtype)
    if values.size:
        width = stored[-1] if stored else 1
        runs = values.reshape(-1, width)
        for at, run in enumerate(numpy.ndindex(stored[:-1])):
            place = 0
            for index, length in zip((*run, 0), shape, strict=False):
                place = place * length + index
            file.seek(header.offset + place * header.dtype.itemsize)
            runs[at] = _run(file, header, width)
    return values.transpose() if header.is_fortran else values


def _run(file: IO[bytes], header: Header, count: int) -> numpy.ndarray[Any, Any]:
    """Read the next values."""
    data = file.read(count * header.dtype.itemsize)
    if len(data) < count * header.dtype.itemsize:
        raise Unreadable("its values end early")
    return numpy.frombuffer(data, header.dtype, count)

"""Parquet and Feather (Arrow IPC) files, by pyarrow."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from io import BufferedReader
from itertools import islice
from typing import Any

import pyarrow

from .layout import MAX_CELL_CHARS, MAX_COLUMNS, Page, counted
from .request import TABLE_ROWS, Patience, Preview, Request, Unreadable

# Earlier versions unpickle what a file's schema names (CVE-2023-47248).
MIN_PYARROW = (14, 0, 1)
FIELDS = 100
# Of a list or a struct in a cell.
PARTS = 5


def read_parquet(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show a Parquet file."""
    import pyarrow.parquet

    source = _source(file, bound)
    with pyarrow.parquet.ParquetFile(source, pre_buffer=False) as parquet:
        facts, schema = parquet.metadata, parquet.schema_arrow
        page = Page()
        groups = counted(facts.num_row_groups, "row group", "row groups")
        page.add(f"Parquet: {_size(facts.num_rows, schema)}, {groups}, written by {facts.created_by}")
        _add_schema(page, schema)
        rows = request.rows or TABLE_ROWS
        names = [field.name for field in islice(schema, MAX_COLUMNS)]
        batches = parquet.iter_batches(batch_size=rows, columns=names, use_threads=False)
        first = next(batches, None) if facts.num_rows and names else None
        if facts.num_rows and names and first is None:
            raise Unreadable(f"its footer promises {facts.num_rows:,} rows, and there are none")
        _add_rows(page, first, rows, facts.num_rows, len(schema))
    return Preview(page.text, page.is_cut)


def read_feather(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show a Feather file of version 2, which is an Arrow IPC file."""
    import pyarrow.ipc

    source = _source(file, bound)
    patience = Patience()
    schema = pyarrow.ipc.open_file(source).schema
    options = pyarrow.ipc.IpcReadOptions(included_fields=list(range(min(len(schema), MAX_COLUMNS))), use_threads=False)
    reader = pyarrow.ipc.open_file(source, options=options)
    page = Page()
    batches = reader.num_record_batches
    rows = request.rows or TABLE_ROWS
    first, count = None, 0
    for at in range(batches):
        batch = reader.get_batch(at)
        count += batch.num_rows
        first = batch if first is None and batch.num_rows else first
        if patience.is_over():
            break
    else:
        at = batches
    more = "" if at == batches else " or more"
    page.add(f"Feather (Arrow IPC): {_size(count, schema, more)}, {counted(batches, 'record batch', 'record batches')}")
    _add_schema(page, schema)
    _add_rows(page, first, rows, count, len(schema))
    return Preview(page.text, page.is_cut)


def _source(file: BufferedReader, bound: Callable[[], None]) -> Any:
    """Open the file with pyarrow, mapped, so that only shown parts are read."""
    version = tuple(int(part) for part in pyarrow.__version__.split(".")[:3] if part.isdigit())
    if version < MIN_PYARROW:
        needed = ".".join(map(str, MIN_PYARROW))
        raise Unreadable(f"pyarrow {pyarrow.__version__} is not safe with such files: install {needed} or newer")
    pyarrow.set_cpu_count(1)
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    bound()
    return pyarrow.BufferReader(mapped)


def _size(rows: int, schema: Any, more: str = "") -> str:
    return f"{counted(rows, 'row', 'rows')}{more}, {counted(len(schema), 'column', 'columns')}"


def _add_schema(page: Page, schema: Any) -> None:
    page.add("schema:")
    for field in islice(schema, FIELDS):
        page.add(f"  {field.name}: {field.type}{'' if field.nullable else ' not null'}")
    page.add_more(len(schema) - FIELDS, "column", "columns")


def _add_rows(page: Page, batch: Any, rows: int, count: int, columns: int) -> None:
    if batch is None:
        return
    batch = batch.slice(0, rows)
    page.add("all rows:" if batch.num_rows == count else f"first {batch.num_rows} rows:")
    cells = [list(_cells(column)) for column in batch.columns]
    page.add_table(batch.schema.names, zip(*cells, strict=True), columns)


def _cells(column: Any) -> Iterator[object]:
    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_time(kind):
        # A scalar of nanoseconds asks for pandas, which may not be there.
        column = column.cast(pyarrow.string())
    return (_plain(scalar) for scalar in column)


def _plain(scalar: Any) -> object:
    """Return the value of a scalar, as much as a cell can show: a list may have millions of parts."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        return _listed(scalar.values)
    if pyarrow.types.is_map(kind):
        return _listed(scalar.values)
    if pyarrow.types.is_struct(kind):
        return {field.name: _plain(scalar[at]) for at, field in enumerate(islice(kind, PARTS))}
    if isinstance(scalar, pyarrow.BinaryScalar | pyarrow.LargeBinaryScalar):
        buffer = scalar.as_buffer()
        head = buffer.slice(0, min(buffer.size, 4 * MAX_CELL_CHARS)).to_pybytes()
        is_text = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)
        return head.decode("utf-8", "replace") if is_text else head
    try:
        return scalar.as_py()
    except Exception:
        return str(scalar)


def _listed(values: Any) -> object:
    shown = [_plain(value) for value in values.slice(0, PARTS)]
    # The count first: a cell is cut at its end.
    return shown if len(values) <= PARTS else f"[{len(values):,} values: {str(shown)[1:-1]}, …]"

"""SQLite databases: their tables, as they are on the disk. Nothing is locked, and no file is made beside them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BufferedReader
from pathlib import Path

from .layout import MAX_CELL_CHARS, MAX_COLUMNS, Page, counted
from .request import TABLE_ROWS, Patience, Preview, Request, Unreadable

TABLES = 50
# Rows of each of several tables.
FEW_ROWS = 5
COUNTED_ROWS = 1_000_000
COUNT_SEC = 1.0
# Virtual machine instructions between two looks at the clock.
STEPS = 10_000


def read_sqlite(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show the tables and views of a database, and the first rows of the tables: views are code, and are not run."""
    bound()
    _check_size(file)
    path = Path(request.path)
    _check_same(path, file)
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as base:
        page = _Tables(base, request.rows).page()
    _check_same(path, file)
    unsaved = [name for name in ("-wal", "-journal") if _size(f"{path}{name}")]
    note = f"{path.name}{unsaved[0]} holds changes under way: they are not shown, or only in part." if unsaved else None
    return Preview(page.text, page.is_cut, note=note)


class _Tables:
    def __init__(self, base: sqlite3.Connection, rows: int | None) -> None:
        self._base = base
        self._rows = rows
        self._page = Page()
        base.text_factory = lambda text: text.decode("utf-8", "replace")
        base.execute("PRAGMA trusted_schema = OFF")
        base.execute("PRAGMA cell_size_check = ON")

    def page(self) -> Page:
        found = self._base.execute(
            "SELECT type, name, sql FROM sqlite_master "
            "WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name"
        ).fetchall()
        tables = sum(kind == "table" for kind, *_ in found)
        views = counted(len(found) - tables, "view", "views")
        self._page.add(f"SQLite: {counted(tables, 'table', 'tables')}, {views}")
        rows = self._rows or (TABLE_ROWS if tables == 1 else FEW_ROWS)
        for kind, name, sql in found[:TABLES]:
            self._page.add("")
            try:
                self._add_table(name, rows) if kind == "table" else self._page.add(f"view {name}")
            except sqlite3.DatabaseError as error:
                self._page.add(f"table {name}")
                self._page.add(f"[cannot be read: {error}]")
            self._page.add_lines(f"  {sql}" if kind == "view" else "")
        self._page.add_more(len(found) - TABLES, "table", "tables")
        return self._page

    def _add_table(self, name: str, rows: int) -> None:
        table = _quoted(name)
        columns = [column for _, column, *_ in self._base.execute(f"PRAGMA table_info({table})")]
        kinds = {column: kind for _, column, kind, *_ in self._base.execute(f"PRAGMA table_info({table})")}
        self._page.add(f"table {name}: {self._count(table)}, {counted(len(columns), 'column', 'columns')}")
        self._page.add("  " + ", ".join(f"{column} {kind}".strip() for column, kind in kinds.items()))
        shown = columns[:MAX_COLUMNS]
        cells = ", ".join(_cell(_quoted(column)) for column in shown)
        found = self._base.execute(f"SELECT {cells} FROM {table} LIMIT {rows}").fetchall()  # noqa: S608 - quoted
        if found:
            self._page.add_table(shown, found, len(columns))

    def _count(self, table: str) -> str:
        patience = Patience(COUNT_SEC)
        self._base.set_progress_handler(patience.is_over, STEPS)
        query = f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {COUNTED_ROWS + 1})"  # noqa: S608 - quoted
        try:
            (count,) = self._base.execute(query).fetchone()
        except sqlite3.OperationalError:
            if not patience.is_over():
                raise
            return "many rows"
        finally:
            self._base.set_progress_handler(None, 0)
        return f"more than {COUNTED_ROWS:,} rows" if count > COUNTED_ROWS else counted(count, "row", "rows")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cell(column: str) -> str:
    """Return a column's value, as much as a cell can show."""
    return (
        f"CASE typeof({column}) WHEN 'text' THEN substr({column}, 1, {MAX_CELL_CHARS + 1}) "
        f"WHEN 'blob' THEN '[' || length({column}) || ' bytes]' ELSE {column} END"
    )


def _check_size(file: BufferedReader) -> None:
    """SQLite reads what is missing of the last page as zeros. Raises Unreadable."""
    head = file.read(100).ljust(100, b"\0")
    page, count = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    promised = (65_536 if page == 1 else page) * count
    size = file.seek(0, os.SEEK_END)
    # Versions of SQLite before 3.7 do not keep the count.
    if head[24:28] == head[92:96] and promised > size:
        raise Unreadable(f"its header promises {promised:,} bytes, and {size:,} are there")


def _check_same(path: Path, file: BufferedReader) -> None:
    """Check that the name still leads to the same file: the database is opened by name. Raises Unreadable."""
    if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
        raise Unreadable("it was replaced while it was read")


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0

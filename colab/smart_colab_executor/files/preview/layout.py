"""A preview's text: lines and tables, bounded, without characters that a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_CHARS = 30_000
MAX_LINE_CHARS = 400
MAX_CELL_CHARS = 40
MAX_COLUMNS = 30
GAP = "  "


class Page:
    """Text that grows until `MAX_CHARS`; what comes later is dropped, and `is_cut` says so."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._room = MAX_CHARS
        self.is_cut = False

    @property
    def text(self) -> str:
        """The whole page."""
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, line: str) -> None:
        """Add a line."""
        line = plain(line.rstrip(), MAX_LINE_CHARS)
        self._room -= len(line) + 1
        if self._room < 0:
            self.is_cut = True
        if not self.is_cut:
            self._lines.append(line)

    def add_lines(self, text: str) -> None:
        """Add a text of several lines."""
        for line in text.splitlines():
            self.add(line)

    def add_table(self, heading: Sequence[str], rows: Iterable[Sequence[object]], columns: int | None = None) -> None:
        """Add aligned rows; `columns`: how many there are in all, where the rows do not have them."""
        shown = [[cell(name) for name in heading], *([cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        for row in shown:
            self.add(GAP.join(value.ljust(width) for value, width in zip(row, widths, strict=True)))
        self.add_more((columns or 0) - len(heading), "column", "columns")

    def add_more(self, count: int, one: str, many: str) -> None:
        """Say how many things are left out, where any are."""
        if count > 0:
            self.add(f"[… {counted(count, f'more {one}', f'more {many}')} …]")


def cell(value: object) -> str:
    """Write a value as a cell of a table."""
    if value is None:
        return "null"
    return plain(value if isinstance(value, str) else repr(value), MAX_CELL_CHARS)


def plain(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters; what is not printable is escaped."""
    head = text[: limit + 1]
    if not head.isprintable():
        head = "".join(char if char.isprintable() else _escaped(char) for char in head)
    return head if len(head) <= limit else head[: limit - 1] + "…"


def counted(count: int, one: str, many: str) -> str:
    """Format a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {one if count == 1 else many}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

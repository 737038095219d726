"""Archives: what they hold, by name and size. Nothing is unpacked."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BufferedReader
from typing import IO

from .layout import Page, counted
from .request import Patience, Preview, Request, Unreadable

ENTRIES = 200
COUNTED_ENTRIES = 100_000


def read_zip(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """List a zip archive by its directory, which stands at its end."""
    bound()
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    page = Page()
    total = sum(entry.file_size for entry in entries)
    page.add(f"Zip archive: {counted(len(entries), 'entry', 'entries')}, {total:,} bytes unpacked")
    limit = request.rows or ENTRIES
    rows = [(f"{entry.file_size:,}", _zip_time(entry), _zip_name(entry)) for entry in entries[:limit]]
    _add_entries(page, rows)
    page.add_more(len(entries) - limit, "entry", "entries")
    return Preview(page.text, page.is_cut)


def read_tar(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """List a tar archive."""
    bound()
    return list_tar(request, file, "r:", "Tar archive")


def list_tar(request: Request, file: IO[bytes], mode: str, what: str) -> Preview:
    """List a tar archive as far as it can be read in time. Raises Unreadable where that is nowhere."""
    limit, patience = request.rows or ENTRIES, Patience()
    rows: list[tuple[str, str, str]] = []
    count = total = 0
    fault = None
    try:
        with tarfile.open(fileobj=_Hurried(file, patience), mode=mode) as archive:  # type: ignore[call-overload]
            for entry in _entries(archive):
                count += 1
                total += entry.size
                if len(rows) < limit:
                    rows.append((f"{entry.size:,}", _tar_time(entry), _tar_name(entry)))
                if count == COUNTED_ENTRIES or patience.is_over():
                    fault = "the listing ends here for its length"
                    break
    except _OutOfTime:
        fault = "the listing ends here, for there was no time to read on"
    except MemoryError:
        raise
    except Exception as error:  # of the archive, or of its compression
        fault = f"the archive cannot be read from here on: {error}"
        if not rows:
            raise Unreadable(str(error) or "it is not whole") from error
    page = Page()
    more = "" if fault is None else " or more"
    page.add(f"{what}: {counted(count, 'entry', 'entries')}{more}, {total:,} bytes unpacked")
    _add_entries(page, rows)
    page.add_more(count - len(rows), "entry", "entries")
    if fault is not None:
        page.add(f"[… {fault} …]")
    return Preview(page.text, page.is_cut or fault is not None)


class _OutOfTime(Exception):
    """There is no time to read on."""


class _Hurried:
    """A file that can be read until there is no more patience."""

    def __init__(self, file: IO[bytes], patience: Patience) -> None:
        self._file = file
        self._patience = patience
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if self._patience.is_over():
            raise _OutOfTime
        return self._file.read(size)


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (entry := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        yield entry


def _add_entries(page: Page, rows: list[tuple[str, str, str]]) -> None:
    width = max((len(size) for size, *_ in rows), default=0)
    for size, time, name in rows:
        page.add(f"{size.rjust(width)}  {time}  {name}")


def _zip_time(entry: zipfile.ZipInfo) -> str:
    year, month, day, hour, minute, _ = entry.date_time
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}"


def _zip_name(entry: zipfile.ZipInfo) -> str:
    return f"{entry.filename} (encrypted)" if entry.flag_bits & 1 else entry.filename


def _tar_time(entry: tarfile.TarInfo) -> str:
    try:
        return f"{datetime.fromtimestamp(entry.mtime, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "?".ljust(16)


def _tar_name(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return f"{entry.name} -> {entry.linkname}"
    return f"{entry.name}/" if entry.isdir() else entry.name

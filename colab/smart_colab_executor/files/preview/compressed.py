"""Compressed files: the beginning of a text, or the listing of an archive."""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from ..file_types import SNIFFED_BYTES, sniff
from .archives import list_tar
from .request import Preview, Request, Unreadable

HEAD_BYTES = 64 * 1024
NAMES = {"application/gzip": "gzip", "application/x-bzip2": "bzip2", "application/x-xz": "xz"}
ENDINGS = {".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar"}


def read_compressed(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show the text that is in a compressed file as far as `HEAD_BYTES`, or list the archive that is in it."""
    bound()
    head, is_end, fault = _head(_opened(request.kind, file))
    if not head and fault is not None:
        raise Unreadable(fault)
    if not head:
        return Preview("[Nothing is in it.]\n")
    path = Path(request.path)
    kind = sniff(head[:SNIFFED_BYTES], path.stem + ENDINGS.get(path.suffix.lower(), ""))
    if kind.mime == "application/x-tar":
        file.seek(0)
        return list_tar(request, _opened(request.kind, file), "r|", f"Tar archive in {NAMES[request.kind]}")
    if kind.encoding is None:
        return Preview(None)
    if not is_end:
        line_end = kind.encoding.rfind_newline(head, len(head))
        head = head[: line_end + kind.encoding.width] if line_end >= 0 else head
    text, _ = kind.encoding.decode(head, is_cut=not is_end)
    note = f"Its data cannot be unpacked behind what is shown: {fault}." if fault is not None else None
    return Preview(text.removeprefix("\ufeff"), not is_end, kind.mime, note)


def _opened(kind: str, file: BufferedReader) -> IO[bytes]:
    """Open the unpacked file. Imports here: not every Python has all of the modules."""
    if kind == "application/gzip":
        import gzip

        return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb"))
    if kind == "application/x-bzip2":
        import bz2

        return bz2.BZ2File(file)
    import lzma

    return lzma.LZMAFile(file)


def _head(plain: IO[bytes]) -> tuple[bytes, bool, str | None]:
    """Return the first bytes, whether they are all, and why no more can be read."""
    head = bytearray()
    while len(head) < HEAD_BYTES:
        try:
            block = plain.read1(HEAD_BYTES - len(head))  # type: ignore[attr-defined]
        except MemoryError:
            raise
        except Exception as error:  # each compression has errors of its own
            return bytes(head), False, str(error).rstrip(".")
        if not block:
            return bytes(head), True, None
        head += block
    return bytes(head), False, None

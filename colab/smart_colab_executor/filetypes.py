"""What a file is: its media type, and how it is written where it is text. By its first bytes and its name."""

from __future__ import annotations

import codecs
import itertools
import mimetypes
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

SNIFFED_BYTES = 8192

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"PK\x05\x06": "application/zip",
    b"\x1f\x8b\x08": "application/gzip",
    b"\xfd7zXZ\0": "application/x-xz",
    b"(\xb5/\xfd": "application/zstd",
    b"PAR1": "application/vnd.apache.parquet",
    b"ARROW1": "application/vnd.apache.arrow.file",
    b"\x93NUMPY": "application/x-npy",
    b"\x89HDF\r\n\x1a\n": "application/x-hdf5",
    b"SQLite format 3\0": "application/vnd.sqlite3",
    **{b"\x80%c" % protocol: "application/x-pickle" for protocol in (2, 3, 4, 5)},
}
# Containers of what the name says: a workbook is a zip file too.
_CONTAINERS = ("application/zip", "application/x-hdf5")
_TABLES = ("text/csv", "text/tab-separated-values")
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# Without the system's own lists, which differ.
_NAMES = mimetypes.MimeTypes()
_NAMES.add_type("text/markdown", ".md")  # Python 3.11 does not know it
_NAMES.add_type("application/x-ipynb+json", ".ipynb")
_NAMES.add_type("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx")

_PROGRESS = re.compile(r"\d%|it/s|s/it|B/s|\beta\b|\d/\d|[█━#=]{3}", re.IGNORECASE)
# More bytes outside ASCII than this, and a text is in no Western language.
_WESTERN_SHARE = 0.4


@dataclass(frozen=True)
class Encoding:
    """How a text is written."""

    name: str
    """As Python's `open` takes it."""
    codec: str
    """The same behind the byte order mark."""
    newline: bytes = b"\n"

    @property
    def width(self) -> int:
        """Bytes of a line end, and of what it is aligned to."""
        return len(self.newline)

    def count(self, block: bytes, stop: int | None = None) -> int:
        """Count the line ends in a block that begins between two characters."""
        if self.width == 1:
            return block.count(self.newline, 0, stop)
        return block[:stop].decode(self.codec, "replace").count(self.newline.decode(self.codec))

    def find(self, block: bytes, sign: bytes, start: int = 0) -> int:
        """Find a character of `width` bytes; -1 where there is none."""
        at = block.find(sign, start)
        while at > 0 and at % self.width:
            at = block.find(sign, at + 1)
        return at

    def rfind_newline(self, block: bytes, stop: int) -> int:
        """Find the last line end before `stop`; -1 where there is none."""
        at = block.rfind(self.newline, 0, stop)
        while at > 0 and at % self.width:
            at = block.rfind(self.newline, 0, at + self.width - 1)
        return at

    def decode(self, page: bytes, is_cut: bool) -> tuple[str, str]:
        """The text, its lines ended by line feeds, and its encoding's name. Half a character at a cut is left out."""
        name = self.name
        try:
            text = codecs.getincrementaldecoder(self.codec)().decode(page, final=not is_cut)
        except UnicodeDecodeError:
            if self.codec == "utf-8" and _is_western(page):
                name, text = "cp1252", page.decode("cp1252", "replace")
            else:
                text = codecs.getincrementaldecoder(self.codec)("replace").decode(page, final=not is_cut)
        if self.newline == "\r".encode(self.codec):
            text = text.replace("\r", "\n")
        return text, name


UTF_8 = Encoding("utf-8", "utf-8")
# The longer marks first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = [
    (codecs.BOM_UTF8, Encoding("utf-8-sig", "utf-8")),
    *(
        (mark, Encoding(name, codec, "\n".encode(codec)))
        for mark, name, codec in [
            (codecs.BOM_UTF32_LE, "utf-32", "utf-32-le"),
            (codecs.BOM_UTF32_BE, "utf-32", "utf-32-be"),
            (codecs.BOM_UTF16_LE, "utf-16", "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16", "utf-16-be"),
        ]
    ),
]


class Kind(NamedTuple):
    """What a file is."""

    mime: str
    encoding: Encoding | None
    """None where it is no text."""


def sniff(head: bytes, name: str) -> Kind:
    """Tell what a file is from its first `SNIFFED_BYTES` and its name."""
    guess, compression = _NAMES.guess_type(name)
    if compression is not None:
        guess = _COMPRESSED.get(compression)
    for magic, found in _MAGIC.items():
        if head.startswith(magic):
            is_named = found in _CONTAINERS and guess is not None and guess.startswith("application/")
            return Kind(guess if is_named and guess else found, None)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Kind("image/webp", None)
    encoding = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), UTF_8)
    if b"\0" in head and encoding.width == 1:
        return Kind(guess if guess and not guess.startswith("text/") else "application/octet-stream", None)
    # A name can say what the content is not: .ts is a video's too.
    is_text = guess is not None and (guess.startswith(("text/", "application/")) or guess == "image/svg+xml")
    mime = guess if guess and is_text else "text/plain"
    if _has_lone_carriage_returns(head, encoding, mime):
        encoding = replace(encoding, newline="\r".encode(encoding.codec))
    return Kind(mime, encoding)


def _has_lone_carriage_returns(head: bytes, encoding: Encoding, mime: str) -> bool:
    """Whether lines end as they did on the first Macs. A progress bar's carriage returns end none."""
    text = head.decode(encoding.codec, "replace")
    if "\n" in text or "\r" not in text[:-1]:
        return False
    if mime in _TABLES:
        return True
    lines = [line for line in text.split("\r") if line.strip()]
    words = ["".join(filter(str.isalpha, line)) for line in lines]
    progress = sum(_PROGRESS.search(line) is not None for line in lines)
    alike = sum(one == other != "" for one, other in itertools.pairwise(words))
    return 2 * max(progress, alike) < len(lines)


def _is_western(page: bytes) -> bool:
    """Whether what is no UTF-8 can be Western text, a byte a character: no letter is UTF-8, and most are ASCII."""
    foreign = [char for char in page.decode("utf-8", "ignore") if char > "\x7f"]
    high = sum(byte > 0x7F for byte in page)
    return not foreign and high < _WESTERN_SHARE * len(page)

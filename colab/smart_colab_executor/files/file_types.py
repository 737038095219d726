"""Detect a file's media type and, for text, its encoding and line ends, from its first bytes and its name."""

from __future__ import annotations

import codecs
import mimetypes
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

SNIFFED_BYTES = 8192

# A bzip2 file begins with a block or, where it is empty, with its end.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"PK\x05\x06": "application/zip",
    b"\x1f\x8b\x08": "application/gzip",
    **{b"BZh%d%b" % (size, sign): "application/x-bzip2" for size in range(1, 10) for sign in _BZIP2_BLOCKS},
    b"\xfd7zXZ\0": "application/x-xz",
    b"(\xb5/\xfd": "application/zstd",
    b"7z\xbc\xaf\x27\x1c": "application/x-7z-compressed",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "application/x-ole-storage",
    b"PAR1": "application/vnd.apache.parquet",
    b"ARROW1": "application/vnd.apache.arrow.file",
    b"\x93NUMPY": "application/x-npy",
    b"\x89HDF\r\n\x1a\n": "application/x-hdf5",
    b"CDF\x01": "application/x-netcdf",
    b"CDF\x02": "application/x-netcdf",
    b"CDF\x05": "application/x-netcdf",
    b"SQLite format 3\0": "application/vnd.sqlite3",
    **{b"\x80%c" % protocol: "application/x-pickle" for protocol in (2, 3, 4, 5)},
}
# Signatures that stand at an offset.
_INNER_MAGIC = [
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/x-wav"),
    (8, b"DUCK", "application/vnd.duckdb"),
    (257, b"ustar", "application/x-tar"),
]
# Types of zip files by the name of the first entry, or of another one in the head.
_ZIPPED = [
    (re.compile(rb"\A[^/]+\.npy\Z"), "application/x-npz"),
    (re.compile(rb"\A[^/]+/data\.pkl\Z"), "application/x-pytorch"),
]
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OFFICE_PARTS = [
    (b"xl/", _OFFICE + "spreadsheetml.sheet"),
    (b"word/", _OFFICE + "wordprocessingml.document"),
    (b"ppt/", _OFFICE + "presentationml.presentation"),
]
# Containers whose name may give the more exact type, if it is one of these.
_CONTAINED = {
    "application/zip": (_OFFICE, "application/vnd.oasis.opendocument.", "application/epub+zip", "application/java"),
    "application/x-hdf5": ("application/x-hdf", "application/x-netcdf"),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-"),
}
_TABLES = ("text/csv", "text/tab-separated-values")
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# Without the system's own lists, which differ.
_NAMES = mimetypes.MimeTypes()
_NAMES.add_type("text/markdown", ".md")  # Python 3.11 does not know it
_NAMES.add_type("application/x-ipynb+json", ".ipynb")
_NAMES.add_type("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx")
# Media types outside `text/` that are text.
_TEXTS = re.compile(
    r"image/svg\+xml|application/(.*[+-])?(json|xml|javascript|x?html|yaml|toml|sql|sh|csh|tex|latex|rtf|postscript)"
)

_PROGRESS = re.compile(r"\d%|it/s|s/it|B/s|\beta\b|(?<![\d/])\d+/\d+(?![\d/])|[█━#=]{3}|--:--|fps=", re.IGNORECASE)
# Fewer bytes allow no guess.
_MIN_WIDE_BYTES = 8
# A text with a larger share of bytes outside ASCII is not in a Western language.
_MAX_WESTERN_SHARE = 0.4


@dataclass(frozen=True)
class Encoding:
    """The encoding of a text, and its line ends."""

    name: str
    """As Python's `open` takes it."""
    codec: str
    """The codec for the bytes after the byte order mark."""
    newline: bytes = b"\n"

    @property
    def width(self) -> int:
        """The size in bytes of a line end, and its alignment."""
        return len(self.newline)

    def count(self, block: bytes, stop: int | None = None) -> int:
        """Count the line ends in a block that starts at a character boundary."""
        if self.width == 1:
            return block.count(self.newline, 0, stop)
        return block[:stop].decode(self.codec, "replace").count(self.newline.decode(self.codec))

    def find(self, block: bytes, sign: bytes, start: int = 0) -> int:
        """Find a character of `width` bytes; return -1 if there is none."""
        at = block.find(sign, start)
        while at > 0 and at % self.width:
            at = block.find(sign, at + 1)
        return at

    def rfind_newline(self, block: bytes, stop: int) -> int:
        """Find the last line end before `stop`; return -1 if there is none."""
        at = block.rfind(self.newline, 0, stop)
        while at > 0 and at % self.width:
            at = block.rfind(self.newline, 0, at + self.width - 1)
        return at

    def decode(self, page: bytes, is_cut: bool) -> tuple[str, str]:
        """Return the text with line feeds, and the encoding's name. A partial character at a cut is dropped."""
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
# Longer marks first: the one of UTF-32 starts with the one of UTF-16.
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
    """A file's media type and encoding."""

    mime: str
    encoding: Encoding | None
    """None for a file that is not text."""


def sniff(head: bytes, name: str) -> Kind:
    """Detect a file's kind from its first `SNIFFED_BYTES` and its name."""
    guess, compression = _NAMES.guess_type(name)
    if compression is not None:
        guess = _COMPRESSED.get(compression)
    found = _by_content(head)
    if found is not None:
        is_named = guess is not None and guess.startswith(_CONTAINED.get(found, ()))
        return Kind(guess if is_named and guess else found, None)
    encoding = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None) or _unmarked(head)
    if b"\0" in head and encoding.width == 1:
        return Kind(guess if guess and not guess.startswith("text/") else "application/octet-stream", None)
    # A name can mislead: .ts is also a video, and an error page may be saved as .zip.
    is_text = guess is not None and (guess.startswith("text/") or _TEXTS.fullmatch(guess))
    mime = guess if guess and is_text else "text/plain"
    if _has_lone_carriage_returns(head, encoding, mime):
        encoding = replace(encoding, newline="\r".encode(encoding.codec))
    return Kind(mime, encoding)


def _by_content(head: bytes) -> str | None:
    """Return the media type by a signature in the first bytes."""
    found = next((mime for magic, mime in _MAGIC.items() if head.startswith(magic)), None)
    if found is None:
        return next((mime for at, sign, mime in _INNER_MAGIC if head.startswith(sign, at) and b"\0" in head), None)
    return _zipped(head) if found == "application/zip" else found


def _zipped(head: bytes) -> str:
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    found = next((mime for name, mime in _ZIPPED if name.fullmatch(first)), None)
    if found is None and first == b"[Content_Types].xml":
        # Each entry's name follows the fixed part of its header.
        found = next((mime for part, mime in _OFFICE_PARTS if part in head), None)
    return found or "application/zip"


def _unmarked(head: bytes) -> Encoding:
    """Guess the encoding of a text without a mark: UTF-16 if every other byte is mostly NUL."""
    for codec, high, low in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if len(head) < _MIN_WIDE_BYTES or 0 in low or 2 * high.count(0) <= len(low):
            continue
        text = head.decode(codec, "ignore")
        if all(char.isprintable() or char in "\t\n\r\f\xa0" for char in text):
            return Encoding(codec, codec, "\n".encode(codec))
    return UTF_8


def _has_lone_carriage_returns(head: bytes, encoding: Encoding, mime: str) -> bool:
    """Return whether carriage returns end the lines. Those of a progress bar do not."""
    text = head.decode(encoding.codec, "replace").removeprefix("\ufeff")
    if "\n" in text or "\r" not in text[:-1]:
        return False
    return mime in _TABLES or not shows_progress(text)


def shows_progress(text: str) -> bool:
    """Return whether carriage returns separate states of a progress bar or of a counter that starts with one."""
    states = [state for state in text.split("\r") if state.strip()]
    progress = sum(_PROGRESS.search(state) is not None for state in states)
    return text.startswith("\r") or 2 * progress >= len(states)


def _is_western(page: bytes) -> bool:
    """Return whether invalid UTF-8 can be single-byte Western text: no UTF-8 characters, and mostly ASCII."""
    foreign = [char for char in page.decode("utf-8", "ignore") if char > "\x7f"]
    high = sum(byte > 0x7F for byte in page)
    return not foreign and high < _MAX_WESTERN_SHARE * len(page)

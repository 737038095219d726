"""Detection of a file's kind, and texts that are not UTF-8 with line feeds."""

import bz2
import gzip
import io
import itertools
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from smart_colab_executor.files import text_lines
from smart_colab_executor.files.file_types import SNIFFED_BYTES, sniff
from smart_colab_executor.files.files import Files


def read(files: Files, path: str, line: int = 1, lines: int = 200, max_bytes: int = 65536) -> Any:
    return files.read(path, line, lines, max_bytes)


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "a.txt", ("image/png", None)),
        (b"\xff\xd8\xff\xe0\0", "a", ("image/jpeg", None)),
        (b"GIF87a", "a", ("image/gif", None)),
        (b"GIF89a\0", "a", ("image/gif", None)),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a", ("image/webp", None)),
        (b"RIFF\0\0\0\0WAVEfmt ", "a.wav", ("audio/x-wav", None)),
        (b"%PDF-1.7\n", "a", ("application/pdf", None)),
        (b"PK\x03\x04\0", "model.pt", ("application/zip", None)),
        (b"PK\x05\x06\0", "a", ("application/zip", None)),
        (
            b"PK\x03\x04\0",
            "a.xlsx",
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", None),
        ),
        (b"PAR1\x15", "part-0", ("application/vnd.apache.parquet", None)),
        (b"\x93NUMPY\x01", "a", ("application/x-npy", None)),
        (b"\x89HDF\r\n\x1a\n", "weights", ("application/x-hdf5", None)),
        (b"SQLite format 3\0", "a.txt", ("application/vnd.sqlite3", None)),
        (b"\x80\x04K\x01.", "one.pkl", ("application/x-pickle", None)),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "a.xls", ("application/vnd.ms-excel", None)),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "a.csv", ("application/x-ole-storage", None)),
        (b"CDF\x01\0\0", "a.json", ("application/x-netcdf", None)),
        (b"12345678DUCK\0", "a.db", ("application/vnd.duckdb", None)),
        (b"12345678DUCK soup\n", "a.txt", ("text/plain", "utf-8")),
        (b"\x89HDF\r\n\x1a\n", "a.json", ("application/x-hdf5", None)),
        (b"PK\x03\x04\0", "a.pdf", ("application/zip", None)),
        (b"<html>404</html>", "data.zip", ("text/plain", "utf-8")),
        (b"gone", "a.pdf", ("text/plain", "utf-8")),
        (b"a: 1", "a.sh", ("application/x-sh", "utf-8")),
        ("a,b\r\n1,ü\r\n".encode("utf-16-le"), "a.csv", ("text/csv", "utf-16-le")),
        ("a\tb\n1\t2\n".encode("utf-16-be"), "a", ("text/plain", "utf-16-be")),
        (b"\1\0\2\0\3\0\4\0", "a.raw", ("application/octet-stream", None)),
        (b"\x1f\x8b\x08", "a.csv.gz", ("application/gzip", None)),
        (b"a,b\n", "a.csv", ("text/csv", "utf-8")),
        (b"{}", "a.json", ("application/json", "utf-8")),
        (b"{}", "a.ipynb", ("application/x-ipynb+json", "utf-8")),
        (b"x = 1", "a.py", ("text/x-python", "utf-8")),
        (b"", "empty", ("text/plain", "utf-8")),
        (b"", ".gitignore", ("text/plain", "utf-8")),
        (b"<svg/>", "a.svg", ("image/svg+xml", "utf-8")),
        (b"let x: number", "a.ts", ("text/plain", "utf-8")),
        (b"no picture", "a.png", ("text/plain", "utf-8")),
        (b"\xef\xbb\xbfa,b", "a.csv", ("text/csv", "utf-8-sig")),
        (b"\xff\xfea\0", "a.csv", ("text/csv", "utf-16")),
        (b"\xfe\xff\0a", "a.log", ("text/plain", "utf-16")),
        (b"\xff\xfe\0\0a\0\0\0", "a", ("text/plain", "utf-32")),
        (b"\x1f\x8b\0", "a.tar.gz", ("application/gzip", None)),
        (b"\0", "a.txt", ("application/octet-stream", None)),
        (b"\0", "a.bin", ("application/octet-stream", None)),
        (b"\0", "what", ("application/octet-stream", None)),
    ],
)
def test_kind_is_detected_by_first_bytes_and_name(head: bytes, name: str, expected: tuple[str, str | None]) -> None:
    mime, encoding = sniff(head, name)
    assert (mime, encoding and encoding.name) == expected


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


def saved(save: Callable[..., None], value: Any) -> bytes:
    file = io.BytesIO()
    save(file, value)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.log", "a.json", "a.md", "a", "a.png", "a.pdf"])
def test_kind_is_detected_despite_a_wrong_name(name: str) -> None:
    for content, expected in [
        (gzip.compress(b"text"), "application/gzip"),
        (bz2.compress(b"text"), "application/x-bzip2"),
        (bz2.compress(b"", 1), "application/x-bzip2"),
        (lzma.compress(b"text"), "application/x-xz"),
        (tarred(), "application/x-tar"),
        (zipped("a.txt"), "application/zip"),
        (saved(numpy.savez, [1]), "application/x-npz"),
        (saved(numpy.save, [1]), "application/x-npy"),
        (zipped("model/data.pkl", "model/data/0"), "application/x-pytorch"),
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (pickle.dumps({}), "application/x-pickle"),
    ]:
        assert sniff(content[:SNIFFED_BYTES], name) == (expected, None)


def test_a_nul_byte_in_the_first_8_kib_means_binary(files: Files, root: Path) -> None:
    (root / "a").write_bytes(b"x" * 8191 + b"\0")
    found = read(files, "a")
    assert (found["is_text"], found["mime"], found["size"]) == (False, "application/octet-stream", 8192)
    lines = ("first_line", "next_line", "total_lines", "encoding")
    assert [found["text"], *(found[name] for name in lines)] == ["", None, None, None, None]
    (root / "a").write_bytes(b"x" * 8192 + b"\0")
    assert read(files, "a")["is_text"] is True


# Some letters contain the byte of a line feed: U+0A85 beside U+0100 looks like one that is not aligned.
LOOKALIKES = "\u0a85\u0100\u0a85 é€😀"
WIDE = [f"{number} {LOOKALIKES * (number % 7)}\n" for number in range(60)]


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_text_with_a_byte_order_mark_is_read_from_either_end(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, is_large: bool
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK", 8)
    if is_large:
        monkeypatch.setattr(text_lines, "MAX_COUNTED_BYTES", 0)
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    (root / "a").write_bytes((mark + "".join(WIDE)).encode(encoding))
    for line, lines in itertools.product([1, 2, 59, 60, 61, -1, -2, -60, -99], (1, 3, 100)):
        found = read(files, "a", line, lines)
        start = line - 1 if line > 0 else max(0, 60 + line)
        assert found["text"] == "".join(WIDE[start : start + lines])
        assert found["encoding"] == (encoding if encoding == "utf-8-sig" else encoding[:6])
        is_end = start + lines >= 60
        assert found["next_line"] == (None if is_end else start + lines + 1)
    text, following = "", 1
    while following is not None:
        found = read(files, "a", following, 100, 1024)
        text, following = text + found["text"], found["next_line"]
        assert found["is_cut"] is False
    assert text == "".join(WIDE)


def test_a_partial_character_at_the_end_of_a_wide_text_is_replaced(files: Files, root: Path) -> None:
    for mark, codec in itertools.product(("\ufeff", ""), ("utf-16-le", "utf-16-be")):
        (root / "a").write_bytes((mark + "one\ntwo\n").encode(codec) + b"\n")
        for line in (1, -3):
            found = read(files, "a", line)
            assert (found["text"], found["total_lines"]) == ("one\ntwo\n\ufffd", 3)
        assert read(files, "a", -2, 1)["text"] == "two\n"


def test_a_too_long_wide_line_is_cut_between_characters(files: Files, root: Path) -> None:
    (root / "a").write_bytes(("x" * 3000 + "\nnext\n").encode("utf-16"))
    found = read(files, "a", max_bytes=1025)
    assert (found["text"], found["is_cut"], found["next_line"]) == ("x" * 511, True, 2)
    assert read(files, "a", 2)["text"] == "next\n"


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        ("Z\u00fcrich;K\u00f6ln\n".encode("latin-1"), "Z\u00fcrich;K\u00f6ln\n", "cp1252"),
        ("\u201equoted\u201c costs 5 \u20ac\n".encode("cp1252"), "\u201equoted\u201c costs 5 \u20ac\n", "cp1252"),
        # One invalid byte among valid ones, and a text in no Western language.
        (b"gr\xc3\xbcn \xff\n", "gr\u00fcn \ufffd\n", "utf-8"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442".encode("cp1251"), "\ufffd" * 6, "utf-8"),
        (b"plain\n", "plain\n", "utf-8"),
    ],
)
def test_invalid_utf8_is_read_as_western_if_plausible(
    files: Files, root: Path, content: bytes, text: str, encoding: str
) -> None:
    (root / "a").write_bytes(content)
    found = read(files, "a")
    assert (found["text"], found["encoding"]) == (text, encoding)


class TestCarriageReturns:
    def test_lone_carriage_returns_end_lines(self, files: Files, root: Path) -> None:
        for name, encoding in itertools.product(("t.csv", "note.txt"), ("utf-8", "utf-16")):
            (root / name).write_bytes("a,b\r1,ü\r2,y\r".encode(encoding))
            assert read(files, name)["text"] == "a,b\n1,ü\n2,y\n"
            last = read(files, name, -1)
            assert (last["text"], last["first_line"], last["total_lines"]) == ("2,y\n", 3, 3)
        (root / "t.csv").write_bytes(b"x,y\rx,1/2\rx,2/2\r")  # looks like progress
        assert read(files, "t.csv")["total_lines"] == 3

    def test_carriage_returns_of_a_progress_bar_end_no_lines(self, files: Files, root: Path) -> None:
        states = "".join(f"\r{n}%|####| {n}/100 [00:01, 9.5it/s]" for n in range(101))
        counter = "".join(f"\rrow {n}" for n in range(9))
        for content in (states, states + "\ndone\n", counter):
            (root / "a.log").write_text(content, newline="")
            assert read(files, "a.log")["text"] == content

    @pytest.mark.parametrize("line", ["line {}", "{}", "step {}: loss 0.5", "1/2/24 {} €", "L {}" + " words" * 300])
    def test_numbered_lines_are_not_a_progress_bar(self, files: Files, root: Path, line: str) -> None:
        lines = [line.format(n) for n in range(1, 51)]
        for encoding, end in itertools.product(("utf-8", "utf-16", "utf-16-le"), ("", "\r")):
            (root / "a.txt").write_bytes(("\r".join(lines) + end).encode(encoding))
            found = read(files, "a.txt", 11, 3)
            assert found["text"].splitlines() == lines[10:13]
            assert (found["next_line"], found["total_lines"]) == (14, 50)

    def test_a_long_line_with_carriage_returns_is_cut_unless_it_is_a_progress_bar(
        self, files: Files, root: Path
    ) -> None:
        (root / "a.txt").write_text("head\n" + "\r".join(f"line {n}" for n in range(999)) + "\nend\n", newline="")
        found = read(files, "a.txt", 2, 1, 1024)
        assert (found["text"][:13], found["is_cut"], found["next_line"]) == ("line 0\rline 1", True, 3)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    @pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nafter\n"])
    def test_a_long_progress_bar_is_cut_to_its_last_states(
        self, files: Files, root: Path, encoding: str, ending: str
    ) -> None:
        states = [f"{n:3}%|{'█' * 20}| {n}/9999" for n in range(2000)]
        (root / "a.log").write_bytes(("\r".join(states) + ending).encode(encoding))
        found = read(files, "a.log", lines=1, max_bytes=4096)
        assert found["text"].rstrip().split("\r")[-2:] == states[-2:]
        assert set(found["text"].rstrip().split("\r")) <= set(states)
        assert (found["is_cut"], found["first_line"]) == (False, 1)
        assert found["next_line"] == (2 if "after" in ending else None)

    def test_a_long_line_with_crlf_is_cut_like_others(self, files: Files, root: Path) -> None:
        for length in (1022, 1023, 1024, 1025, 5000):
            (root / "a").write_bytes(b"x" * length + b"\r\nnext\r\n")
            found = read(files, "a", lines=1, max_bytes=1024)
            assert found["text"].rstrip("\r\n") == "x" * min(length, 1024)
            assert found["next_line"] == 2

"""Reading texts by lines."""

import itertools
import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from smart_colab_executor.core.errors import Busy, InvalidArgument, IsADirectory, NotFound
from smart_colab_executor.files import text_lines
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.files.text_lines import BLOCK, MAX_COUNTED_BYTES, Lines, read_lines

MANY = 10_000


def page(files: Files, line: int, lines: int = MANY, max_bytes: int = 65536, path: str = "a") -> Any:
    return files.read(path, line, lines, max_bytes)


def summary(found: dict[str, Any]) -> tuple[str, int | None, int | None, int | None, bool]:
    return found["text"], found["first_line"], found["next_line"], found["total_lines"], found["is_cut"]


def test_a_reply_has_all_documented_fields(files: Files, root: Path) -> None:
    (root / "notes.md").write_text("# one\ntwo\n")
    os.utime(root / "notes.md", (1, 1.5))
    assert page(files, 1, path="notes.md") == {
        "path": str(root / "notes.md"),
        "size": 10,
        "modified_at": "1970-01-01T00:00:01.500Z",
        "mime": "text/markdown",
        "is_text": True,
        "text": "# one\ntwo\n",
        "first_line": 1,
        "next_line": None,
        "total_lines": 2,
        "is_cut": False,
        "encoding": "utf-8",
    }


@pytest.mark.parametrize(
    ("content", "line", "lines", "expected"),
    [
        ("a\nb\nc\n", 1, 2, ("a\nb\n", 1, 3, 3, False)),
        ("a\nb\nc\n", 3, 2, ("c\n", 3, None, 3, False)),
        ("a\nb\nc", 2, 2, ("b\nc", 2, None, 3, False)),
        ("a\nb\nc", -1, 2, ("c", 3, None, 3, False)),
        ("a\nb\nc\n", -1, 2, ("c\n", 3, None, 3, False)),
        ("a\nb\nc\n", -2, 1, ("b\n", 2, 3, 3, False)),
        ("a\nb\nc\n", -99, 1, ("a\n", 1, 2, 3, False)),
        ("a\r\nb\r\n", 2, 9, ("b\r\n", 2, None, 2, False)),
        ("\n\n\n", 2, 1, ("\n", 2, 3, 3, False)),
        ("\n", -1, 1, ("\n", 1, None, 1, False)),
        ("a\n", 2, 9, ("", 2, None, 1, False)),
        ("a", 9, 9, ("", 9, None, 1, False)),
        ("", 1, 9, ("", 1, None, 0, False)),
        ("", -1, 9, ("", 1, None, 0, False)),
    ],
)
def test_lines_are_counted_from_either_end(
    files: Files, root: Path, content: str, line: int, lines: int, expected: object
) -> None:
    (root / "a").write_text(content, newline="")
    assert summary(page(files, line, lines)) == expected


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_every_page_matches_pythons_reading(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, seed: int, is_large: bool
) -> None:
    """Use blocks of a few bytes, so that lines start and end at every kind of boundary."""
    monkeypatch.setattr(text_lines, "BLOCK", 7)
    if is_large:
        monkeypatch.setattr(text_lines, "MAX_COUNTED_BYTES", 0)
    rng = random.Random(seed)
    content = "".join(rng.choice("ab\n") for _ in range(rng.randint(20, 60))) + rng.choice(["", "\n"])
    (root / "a").write_text(content, newline="")
    every = content.splitlines(keepends=True)
    numbers = [*range(1, len(every) + 3), *range(-1, -len(every) - 3, -1)]
    for line, lines in itertools.product(numbers, (1, 2, MANY)):
        text, first, following, total, is_cut = summary(page(files, line, lines))
        start = line - 1 if line > 0 else max(0, len(every) + line)
        stop = min(start + lines, max(len(every), start))
        is_end = stop >= len(every)
        assert text == "".join(every[start:stop])
        assert (following, is_cut) == (None if is_end else stop + 1, False)
        if is_large and line < 0 and is_end and start:
            assert (first, total) == (None, None)
        else:
            assert first == start + 1
            assert total == (len(every) if is_end or not is_large else None)


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("first", [1, -40])
def test_pages_add_up_to_the_whole_text(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, first: int, is_large: bool
) -> None:
    if is_large:
        monkeypatch.setattr(text_lines, "MAX_COUNTED_BYTES", 0)
    every = [f"{number} {'é€😀' * (number % 90)}\n" for number in range(40)]
    (root / "a").write_text("".join(every), newline="")
    found, line = "", first
    while line is not None:
        reply = page(files, line, 7, 1024)
        assert 0 < len(reply["text"].encode()) <= 1025
        assert reply["text"].endswith("\n")
        found, line = found + reply["text"], reply["next_line"]
    assert found == "".join(every)


def test_a_too_long_line_is_cut_between_characters(files: Files, root: Path) -> None:
    (root / "a").write_text("x" + "é" * 5000 + "\nnext\n", newline="")
    text, first, following, total, is_cut = summary(page(files, 1, 9, 1024))
    assert text == "x" + "é" * 511
    assert (first, following, total, is_cut) == (1, 2, 2, True)
    assert summary(page(files, 2)) == ("next\n", 2, None, 2, False)
    (root / "a").write_text("ok\n" + "x" * 5000, newline="")
    assert summary(page(files, 1, 9, 1024)) == ("ok\n", 1, 2, 2, False)
    assert summary(page(files, 2, 9, 1024)) == ("x" * 1024, 2, None, 2, True)
    assert summary(page(files, -1, 9, 1024)) == ("x" * 1024, 2, None, 2, True)


def test_a_page_of_exactly_max_bytes_is_not_cut(files: Files, root: Path) -> None:
    (root / "a").write_text("x" * 1024 + "\n" + "y" * 1024, newline="")
    assert summary(page(files, 1, 9, 1024)) == ("x" * 1024 + "\n", 1, 2, 2, False)
    assert summary(page(files, 2, 9, 1024)) == ("y" * 1024, 2, None, 2, False)


def test_invalid_utf8_is_replaced(files: Files, root: Path) -> None:
    (root / "a").write_bytes(b"ok\xff\xfe\n\xf0\x9f")
    assert page(files, 1)["text"] == "ok\ufffd\ufffd\n\ufffd"


class TestLarge:
    @pytest.fixture
    def large(self, root: Path) -> Path:
        """Create a sparse file of 4 GiB with content only in its last megabytes."""
        file = root / "a"
        with file.open("wb") as stream:
            stream.write(b"first\n" + b"x" * 10_000)
            stream.seek(4 << 30)
            stream.write(b"".join(b"%d\n" % number for number in range(500_000)))
        return file

    @pytest.mark.skipif(os.name == "nt", reason="no holes by default")
    def test_the_last_lines_are_read_without_the_rest(
        self, files: Files, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert large.stat().st_size > MAX_COUNTED_BYTES
        monkeypatch.setattr(text_lines._Cursor, "skip", None)  # the method that scans the whole file
        tracemalloc.start()
        try:
            found = page(files, -3)
            assert summary(found) == ("499997\n499998\n499999\n", None, None, None, False)
            assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK
        finally:
            tracemalloc.stop()

    @pytest.mark.skipif(os.name == "nt", reason="no holes by default")
    def test_the_first_lines_are_read_without_the_rest(self, files: Files, large: Path) -> None:
        assert summary(page(files, 1, 1)) == ("first\n", 1, 2, None, False)


class TestSlow:
    """A file of which only twenty blocks, about seventy lines, can be read in time."""

    @pytest.fixture
    def slow(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(text_lines, "BLOCK", 16)
        (root / "a").write_bytes(b"".join(b"%03d\n" % number for number in range(1, 1001)))
        return root / "a"

    def read(self, file: Path, line: int, max_bytes: int = 1024) -> Lines:
        with file.open("rb") as stream:
            return read_lines(stream, line, 1, max_bytes, clock=itertools.count().__next__)

    def test_lines_are_returned_without_numbers_that_take_too_long(
        self, slow: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.read(slow, 50) == Lines("050\n", 50, 51, None, is_cut=False)
        monkeypatch.setattr(text_lines, "MAX_COUNTED_BYTES", 0)
        assert self.read(slow, 50) == Lines("050\n", 50, 51, None, is_cut=False)
        assert self.read(slow, -50) == Lines("951\n", None, None, None, is_cut=False)

    @pytest.mark.parametrize("counted", [0, MAX_COUNTED_BYTES])
    def test_lines_too_deep_in_the_file_are_refused(
        self, slow: Path, monkeypatch: pytest.MonkeyPatch, counted: int
    ) -> None:
        monkeypatch.setattr(text_lines, "MAX_COUNTED_BYTES", counted)
        for line in (500, -500):
            with pytest.raises(Busy, match="20 s") as caught:
                self.read(slow, line)
            assert (caught.value.retryable, bool(caught.value.hint)) == (False, True)

    def test_an_endless_line_is_refused(self, slow: Path) -> None:
        slow.write_bytes(b"x" * 10_000)
        with pytest.raises(Busy):
            self.read(slow, 1)


def test_line_0_is_refused(files: Files, root: Path) -> None:
    (root / "a").touch()
    with pytest.raises(InvalidArgument, match="no line 0"):
        page(files, 0)


def test_anything_but_a_file_is_refused(files: Files, root: Path) -> None:
    with pytest.raises(IsADirectory):
        page(files, 1, path="")
    with pytest.raises(NotFound):
        page(files, 1, path="none")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe")
        with pytest.raises(InvalidArgument):
            page(files, 1, path="pipe")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize("line", [1, -1000])
def test_system_files_without_a_size_can_be_read(line: int) -> None:
    found = Files(ContentRoot(Path("/proc"))).read("/proc/self/status", line, MANY, 65536)
    assert found["text"].startswith("Name:")
    assert found["total_lines"] == found["text"].count("\n")

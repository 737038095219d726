"""Text in the journal is kept once and in order, whatever interrupts the writing."""

from __future__ import annotations

import ctypes
import dis
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from smart_colab_executor.in_kernel import journal
from smart_colab_executor.in_kernel.journal import Journal, LastWords


class Tick(Exception):
    """Raised by a signal handler."""


def add(kernel: Journal, key: bytes, text: bytes) -> int:
    """Add a text, and return the position of its end."""
    kernel.add(key, text)
    return kernel.position


def add_struck(kernel: Journal, key: bytes, text: bytes, at: int, handle: Callable[[], None]) -> bool:
    """Call `handle` during `add`, at Python's `at`-th check for signals; return False if there are fewer."""
    left = at
    is_behind_call = True

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left, is_behind_call
        if frame.f_code.co_filename != journal.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if is_behind_call:
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    handle()
            is_behind_call = dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith(("CALL", "RESUME"))
        return trace if left >= 0 else None

    sys.settrace(trace)
    try:
        kernel.add(key, text)
    finally:
        sys.settrace(None)
    return left < 0


@pytest.fixture(scope="module", autouse=True)
def _traces_opcodes() -> None:
    # Python 3.12 starts tracing opcodes with the second trace.
    add_struck(Journal(None), b"stdout 1", b"text", sys.maxsize, lambda: None)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Journal, LastWords]]:
    """Open both sides of a small journal."""
    monkeypatch.setattr(journal, "HALF_BYTES", 1000)
    words = LastWords(tmp_path / "journal")
    words.create()
    yield Journal(str(words.path)), words
    words.remove()


def test_the_journal_returns_unreceived_text(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    assert list(words.take_unreceived()) == []
    heard = add(kernel, b"stdout 1", b"one ")
    kernel.add(b"stdout 1", b"two ")
    kernel.add(b"stderr 1", b"three ")
    kernel.add(b"stdout 2", b"four")
    words.acknowledge("stdout 1", heard, heard)
    assert kernel.acknowledged() == heard
    assert list(words.take_unreceived()) == [("stdout 1", "two "), ("stderr 1", "three "), ("stdout 2", "four")]
    assert list(words.take_unreceived()) == []
    words.remove()
    assert not words.path.exists()
    assert list(words.take_unreceived()) == []


def land(kernel: Journal, key: bytes, text: bytes) -> None:
    """Read a text from a pipe, as far as the landing."""
    ctypes.memmove(kernel.land(key, len(text)), text, len(text))


@pytest.mark.parametrize("before", [b"", b"before "])
def test_text_that_has_left_a_pipe_and_was_not_added_is_returned_once(
    pair: tuple[Journal, LastWords], before: bytes
) -> None:
    kernel, words = pair
    if before:
        kernel.add(b"stderr 1", before)
    land(kernel, b"stderr 1", b"left over of a longer text, which is out of date")
    land(kernel, b"stderr 1", b"landed")
    assert "".join(text for _, text in words.take_unreceived()) == before.decode() + "landed"
    assert list(words.take_unreceived()) == []
    words.mark_reported()
    later = LastWords(words.path)
    later.open_existing()
    assert list(later.take_unreceived()) == []
    later.remove()


def test_text_that_has_landed_and_was_added_is_returned_once(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    land(kernel, b"stderr 1", b"landed")
    kernel.add(b"stderr 1", b"landed")
    assert list(words.take_unreceived()) == [("stderr 1", "landed")]


def test_a_landing_that_nothing_was_read_to_is_left_out(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    land(kernel, b"stderr 1", b"earlier")
    kernel.add(b"stderr 1", b"earlier")
    kernel.land(b"stderr 1", 7)
    assert list(words.take_unreceived()) == [("stderr 1", "earlier")]


@pytest.mark.parametrize("count", range(1, 200, 7))
def test_the_latest_text_is_kept_however_much_was_written(pair: tuple[Journal, LastWords], count: int) -> None:
    kernel, words = pair
    for i in range(count):
        end = add(kernel, b"stdout %d" % (i // 10), b"%d\n" % i)
        if i < count - 20:
            words.acknowledge(f"stdout {i // 10}", end, end)
    assert "".join(text for _, text in words.take_unreceived()) == "".join(
        f"{i}\n" for i in range(max(0, count - 20), count)
    )


def test_missing_bytes_are_reported(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    for i in range(1000):
        kernel.add(b"stdout 1", b"%03d\n" % i)
    texts = [text for _, text in words.take_unreceived()]
    left = "".join(texts[1:]).split()
    assert left[-1] == "999"
    assert left == [f"{i:03d}" for i in range(int(left[0]), 1000)]
    assert "bytes are missing here" in texts[0]


def test_only_text_already_reported_is_dropped(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    first, second, third = (add(kernel, b"stdout 1", text) for text in (b"one ", b"two ", b"three "))
    words.acknowledge("stdout 1", second, second)
    words.acknowledge("stdout 1", first, first)
    assert kernel.acknowledged() == second
    assert not words.has_reported(second)
    assert list(words.take_unreceived()) == [("stdout 1", "three ")]
    assert words.has_reported(third)


def test_the_next_reader_continues_after_fully_received_text(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    one = add(kernel, b"stdout 1", b"one ")
    kernel.add(b"stderr 1", b"two ")
    three = add(kernel, b"stdout 1", b"three ")
    words.acknowledge("stdout 1", one, one)
    # The first of two messages of a batch: the other, with text written before its end, was not received.
    words.acknowledge("stdout 1", three, one)
    later = LastWords(words.path)
    later.open_existing()
    assert list(later.take_unreceived()) == [("stderr 1", "two "), ("stdout 1", "three ")]
    later.mark_reported()
    last = LastWords(words.path)
    last.open_existing()
    assert list(last.take_unreceived()) == []
    for reader in (later, last):
        reader.remove()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 7, b"\xff" * 100, b"\0" * 8 + struct.pack("<QIH", 2**64 - 1, 1, 1) + b"1x" + b"\0" * 100]
)
def test_a_malformed_journal_yields_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    words = LastWords(tmp_path / "journal")
    words.open_existing()
    assert list(words.take_unreceived()) == []
    words.mark_reported()
    words.remove()


def test_bytes_appended_to_the_file_are_ignored(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    kernel.add(b"stdout 1", b"one")
    with words.path.open("r+b") as file:
        file.truncate(2**40)
    assert list(words.take_unreceived()) == [("stdout 1", "one")]


def test_received_text_takes_no_memory(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    for i in range(100):
        end = add(kernel, b"stdout %d" % i, b"x")
        words.acknowledge(f"stdout {i}", end, end)
    kernel.add(b"stderr 100", b"last")
    assert not words._heard
    assert list(words.take_unreceived())[-1] == ("stderr 100", "last")


def test_a_truncated_journal_yields_its_whole_chunks(pair: tuple[Journal, LastWords]) -> None:
    kernel, words = pair
    kernel.add(b"stdout 1", b"whole")
    kernel.add(b"stderr 1", b"torn")
    content = words.path.read_bytes()
    for byte in (b"\0", b"\xff"):
        at = content.index(b"stderr 1") - 14
        words.path.write_bytes(content[:at] + byte * 14 + content[at + 14 :])
        fresh = LastWords(words.path)
        fresh._file = words.path.open("r+b", buffering=0)
        assert list(fresh.take_unreceived()) == [("stdout 1", "whole")]
        fresh.remove()


@pytest.mark.parametrize("key", [b"stdout 1", b"stderr 1"])
@pytest.mark.parametrize("size", [4, 400], ids=["in a half", "over its end"])
def test_an_exception_leaves_the_journal_consistent(tmp_path: Path, monkeypatch: Any, key: bytes, size: int) -> None:
    monkeypatch.setattr(journal, "HALF_BYTES", 1000)

    def tick() -> None:
        raise Tick

    at, is_struck = 0, True
    while is_struck:
        words = LastWords(tmp_path / f"journal {at}")
        words.create()
        kernel = Journal(str(words.path))
        kernel.add(b"stdout 1", b"f" * 400)
        kernel.add(b"stdout 1", b"F" * 400)
        words.acknowledge("stdout 1", kernel.position - 400, kernel.position - 400)
        try:
            is_struck = add_struck(kernel, key, b"t" * size, at, tick)
        except Tick:
            is_struck = True
        kernel.add(b"stdout 1", b"last")
        said = b"".join(text for _, text, _ in kernel.take())
        assert said in (b"f" * 400 + b"F" * 400 + torn + b"last" for torn in (b"", b"t" * size)), at
        assert "".join(text for _, text in words.take_unreceived()).encode() == said[400:], at
        words.remove()
        at += 1
    assert at > 3


@pytest.mark.parametrize("key", [b"stdout 1", b"stderr 1"])
@pytest.mark.parametrize("takes", [False, True])
def test_a_handler_that_prints_during_a_print_loses_no_text(key: bytes, *, takes: bool) -> None:
    at, is_struck = 0, True
    while is_struck:
        kernel = Journal(None)
        taken: list[bytes] = []

        def take(kernel: Journal = kernel, taken: list[bytes] = taken) -> None:
            taken += [text for _, text, _ in kernel.take()]

        def handle(kernel: Journal = kernel, take: Callable[[], None] = take) -> None:
            (kernel.hold if kernel.is_adding else kernel.add)(b"stdout 1", b" aside")
            if takes:
                take()

        kernel.add(b"stdout 1", b"first")
        is_struck = add_struck(kernel, key, b" outer", at, handle)
        kernel.add(b"stdout 1", b" last")
        take()
        said = b"".join(taken).split()
        assert (
            said in ([b"first", *two, b"last"] for two in ([b"outer", b"aside"], [b"aside", b"outer"])) or not is_struck
        )
        assert not kernel.has_untaken
        at += 1
    assert at > 3
    assert said == [b"first", b"outer", b"last"]

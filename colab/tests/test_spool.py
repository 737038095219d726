"""The spool: events on disk."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from smart_colab_executor.core.clock import now
from smart_colab_executor.core.disk import write_atomically
from smart_colab_executor.in_kernel.jsonline import dump
from smart_colab_executor.jobs import outputs, spool
from smart_colab_executor.jobs.spool import Spool


def seqs(spool: Spool, after: int, max_bytes: int) -> list[int]:
    return [json.loads(line)["seq"] for line in spool.read(after, max_bytes)]


def test_events_are_numbered_and_read_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for k in range(3):
        spool.append({"type": "x", "k": k})
    spool.close()
    assert seqs(spool, 0, 1_000_000) == [1, 2, 3]
    assert seqs(spool, 2, 1_000_000) == [3]
    assert seqs(spool, 3, 1_000_000) == []
    assert seqs(spool, 99, 1_000_000) == []
    assert seqs(spool, 0, 1) == [1]
    assert [event["k"] for event in spool.events(1)] == [1, 2]


def test_any_cursor_stays_valid_across_a_restart(tmp_path: Path) -> None:
    dice = random.Random(7)
    spool = Spool(tmp_path)
    for _ in range(2000):
        spool.append({"type": "x", "text": "y" * dice.randrange(3000)})
    spool.close()
    for reader in (spool, Spool.recover(tmp_path), Spool.recover(tmp_path, spool.last_seq, spool.size)):
        assert reader.last_seq == 2000
        for _ in range(100):
            after = dice.randrange(2001)
            found = seqs(reader, after, dice.randrange(1, 50_000))
            assert found == list(range(after + 1, after + 1 + len(found)))
            assert found or after == 2000


def test_a_crash_at_any_byte_keeps_complete_events(tmp_path: Path) -> None:
    whole = Spool(tmp_path)
    ends = []
    for k in range(4):
        whole.append({"type": "x", "k": k, "text": "ü"})
        ends.append(whole.size)
    whole.close()
    content = (tmp_path / "events.jsonl").read_bytes()
    for cut in range(len(content) + 1):
        (tmp_path / "events.jsonl").write_bytes(content[:cut])
        spool = Spool.recover(tmp_path)
        assert spool.last_seq == sum(end <= cut for end in ends)
        spool.append({"type": "y"})
        spool.close()
        assert seqs(spool, 0, 10_000) == list(range(1, spool.last_seq + 1))


class _FullDisk:
    """A file that accepts some bytes of a write, then fails."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, content: memoryview) -> int:
        if self._room == 0:
            raise OSError(28, "No space left on device")
        taken = min(self._room, len(content))
        self._room -= taken
        return int(self._file.write(content[:taken]))

    def fileno(self) -> int:
        return int(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def test_an_event_that_does_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append({"type": "x"})
    size = spool.size
    spool._events = _FullDisk(spool._events, 10)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        spool.append({"type": "y"})
    assert (tmp_path / "events.jsonl").stat().st_size == size
    spool.seal()
    spool.append({"type": "finished"})
    assert [json.loads(line)["type"] for line in spool.read(0, 10_000)] == ["x", "finished"]
    assert seqs(spool, 1, 10_000) == [2]
    assert seqs(spool, 2, 10_000) == []
    spool.close()


def test_the_log_puts_results_on_lines_of_their_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.log("no newline")
    spool.log("3", own_line=True)
    spool.log("text\n")
    spool.log("4\n", own_line=True)
    spool.close()
    assert (tmp_path / "log.txt").read_text() == "no newline\n3\ntext\n4\n"
    assert spool.log_bytes == (tmp_path / "log.txt").stat().st_size


def test_blobs_keep_their_types(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.keep_blob("image/png", b"abc") == {"blob": 1, "bytes": 3}
    assert spool.keep_blob("application/vnd.x+json; a=b", b"{}") == {"blob": 2, "bytes": 2}
    found = Spool.recover(tmp_path)
    for spool in (spool, found):  # noqa: B020
        path, content_type = spool.blob(2) or (tmp_path, "")
        assert (path.read_bytes(), content_type) == (b"{}", "application/vnd.x+json; a=b")
        assert spool.blob(3) is None
    assert found.keep_blob("text/html", b"") == {"blob": 3, "bytes": 0}


def test_output_is_kept_though_the_folder_is_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "job"
    job = Spool(folder)
    shutil.rmtree(folder, ignore_errors=True)
    job.log("printed")

    def removed_once(path: Path, content: bytes) -> None:
        monkeypatch.undo()
        shutil.rmtree(folder)
        write_atomically(path, content)

    monkeypatch.setattr(spool, "write_atomically", removed_once)
    job.keep_blob("image/png", b"abc")
    path, _ = job.blob(1) or (folder, "")
    assert path.read_bytes() == b"abc"
    job.close()


def test_json_is_strict() -> None:
    assert dump({"a": float("nan"), "b": [float("inf")]}) == b'{"a":null,"b":[null]}'
    assert dump("\ud800") == b'"\xef\xbf\xbd"'


def test_times_are_utc_with_milliseconds() -> None:
    assert len(now()) == len("2026-11-21T10:00:00.123Z")
    assert now().endswith("Z")


def ends(head: str, tail: str) -> dict[str, str]:
    return {"head": head, "tail": tail}


@pytest.mark.parametrize(
    ("mime", "value", "kept"),
    [
        ("image/png", "aGVsbG8=\n", {"blob": 1, "bytes": 5}),
        ("image/svg+xml", "<svg/>", "<svg/>"),
        ("audio/wav", "aGVsbG8=", {"blob": 1, "bytes": 5}),
        ("image/png", "no base64!", "no base64!"),
        ("application/json", {"a": 1}, {"a": 1}),
        (
            "application/json",
            ["x" * 300_000],
            {"blob": 1, "bytes": 300_004} | ends('["' + "x" * 8190, "x" * 8190 + '"]'),
        ),
        ("text/html", "x" * 262_144, "x" * 262_144),
        ("text/html", "x" * 262_145, {"blob": 1, "bytes": 262_145} | ends("x" * 8192, "x" * 8192)),
    ],
    ids=lambda part: str(part)[:20],
)
def test_binary_and_large_output_becomes_a_blob(tmp_path: Path, mime: str, value: object, kept: object) -> None:
    spool = Spool(tmp_path)
    outputs.record(spool, "display_data", {"data": {mime: value}, "metadata": {}})
    spool.close()
    [event] = spool.events()
    assert event["data"] == {mime: kept}


def test_values_that_other_readers_cannot_parse_become_null() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    line = dump({"huge": 10**400, "nested": deep, "nan": float("nan"), "fine": [2**70, True, {"a": "b"}]})
    value = json.loads(line)
    assert value["huge"] is None
    assert value["nan"] is None
    assert value["fine"] == [2**70, True, {"a": "b"}]
    assert line.count(b"[") < 110


def test_an_event_names_where_its_text_begins_in_the_log(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for text in ("before", "\ud800" + "ü" * 40_000, "end\n"):
        outputs.record(spool, "stream", {"name": "stdout", "text": text})
    outputs.record(spool, "execute_result", {"data": {"text/plain": "42"}, "metadata": {}, "execution_count": 1})
    outputs.record(spool, "display_data", {"data": {"image/svg+xml": "<svg/>"}, "metadata": {}})
    outputs.record(spool, "error", {"ename": "E", "evalue": "v", "traceback": ["E: v"]})
    spool.close()
    log = spool.log_file().read_bytes()
    shown = [(event["log_at"], event.get("text", "")) for event in spool.events() if "log_at" in event]
    assert len(shown) == 1 + 3 + 1 + 1 + 1
    for at, said in shown:
        # The log has one byte for a lone surrogate.
        assert log[at:].startswith(said.replace("\ufffd", "?").encode())
    assert [log[at:].split(b"\n")[0] for at, _ in shown[-2:]] == [b"42", b"E: v"]

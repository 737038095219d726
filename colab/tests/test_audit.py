"""The audit file: its size, a full disk, a flood of refusals."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import Executor, wait_until

from smart_colab_executor.guard import audit as module
from smart_colab_executor.guard.audit import Audit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def entries(folder: Path, name: str = "audit.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def refuse(audit: Audit, path: str = "/jobs") -> bool:
    return audit.refused("192.0.2.1", 401, "unauthorized", path)


def test_a_flood_of_refusals_is_counted_instead_of_recorded(tmp_path: Path) -> None:
    clock = Clock()
    audit = Audit(tmp_path, clock)
    assert [refuse(audit) for _ in range(1000)].count(True) == 100
    assert len(entries(tmp_path)) == 100
    clock.now += 3
    assert [refuse(audit) for _ in range(10)].count(True) == 3
    assert [entry["event"] for entry in entries(tmp_path)[100:]] == ["refused_more", "refused", "refused", "refused"]
    assert entries(tmp_path)[100]["count"] == 900
    audit.job(id="1")
    assert [entry["event"] for entry in entries(tmp_path)[-2:]] == ["refused_more", "job"]
    assert entries(tmp_path)[-2]["count"] == 7
    clock.now += 1_000_000
    assert [refuse(audit) for _ in range(1000)].count(True) == 100


def test_a_full_file_replaces_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    audit = Audit(tmp_path)
    for number in range(100):
        audit.job(id=number)
        assert (tmp_path / "audit.jsonl").stat().st_size <= 1000
    older, newer = entries(tmp_path, "audit.1.jsonl"), entries(tmp_path)
    found = [entry["id"] for entry in older + newer]
    assert found == list(range(100 - len(found), 100))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit.1.jsonl", "audit.jsonl"]


def test_a_new_executor_appends_to_the_file(tmp_path: Path) -> None:
    Audit(tmp_path).job(id=1)
    Audit(tmp_path).job(id=2)
    assert [entry["id"] for entry in entries(tmp_path)] == [1, 2]


def test_concurrent_threads_write_whole_lines(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: audit.job(id=number), range(500)))
    assert sorted(entry["id"] for entry in entries(tmp_path)) == list(range(500))


def test_a_path_cannot_forge_lines(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    refuse(audit, "/a\n\r\x1b[2J\u2028\x85é")
    text = (tmp_path / "audit.jsonl").read_bytes()
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert b"\x1b" not in text
    assert entries(tmp_path)[0]["path"] == "/a\n\r\x1b[2J\u2028\x85é"


def test_a_failing_write_is_logged_once_and_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "missing"
    audit = Audit(folder)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            audit.job(id=1)
            assert refuse(audit)
        assert len(caplog.records) == 1
        folder.mkdir()
        audit.job(id=2)
        (folder / "audit.jsonl").unlink()
        folder.rmdir()
        audit.job(id=3)
        assert len(caplog.records) == 2


@pytest.mark.skipif(
    not hasattr(psutil, "RLIMIT_FSIZE"), reason="needs a limit on the size of files to stand for a full disk"
)
def test_a_full_disk_truncates_no_line_and_lets_jobs_end(start: Callable[..., Executor], tmp_path: Path) -> None:
    state = tmp_path / ".smart_colab"
    state.mkdir()
    # Larger than the index of jobs, which has to fit.
    before = json.dumps({"event": "x" * 1_000_000}) + "\n"
    (state / "audit.jsonl").write_text(before)
    executor = start(stderr=subprocess.DEVNULL)
    first = executor.run("1").job["id"]
    wait_until(lambda: (state / "audit.jsonl").stat().st_size > len(before))
    limit = len(before) + 3000
    psutil.Process(executor.process.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, limit))
    # Long lines, then short ones, until even a job's line does not fit.
    for length in [200] * 15 + [1] * 15:
        assert executor.call("GET", "/" + "x" * length, token=None).status == 401
    assert executor.run("print('runs')").state == "succeeded"
    # A line that does not fit is removed again: until then, part of the last line may be in the file.
    wait_until(lambda: (state / "audit.jsonl").read_bytes().endswith(b"\n"))
    _, *found = entries(state)
    assert 5 < len(found) < 30
    assert (found[0]["id"], {entry["event"] for entry in found[1:]}) == (first, {"refused"})

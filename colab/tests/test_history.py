"""Retention of jobs and starts of earlier executors."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from smart_colab_executor.jobs import history


def make(folder: Path, name: str, age_days: float, size: int = 10) -> None:
    job = folder / name
    job.mkdir(parents=True)
    (job / "log.txt").write_bytes(b"x" * size)
    record = job / "job.json"
    record.write_text("{}")
    then = time.time() - age_days * 86_400
    os.utime(record, (then, then))


def names(folder: Path) -> set[str]:
    return {job.name for job in folder.iterdir()}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, {"a", "b", "c"}),
        ({"days": 5}, {"a", "b"}),
        ({"max_jobs": 1}, {"a"}),
        ({"max_bytes": 250}, {"a", "b"}),
        ({"days": 0, "max_jobs": 0, "max_bytes": 0}, {"a"}),
    ],
)
def test_old_jobs_are_removed_by_age_number_and_size_except_the_newest(
    tmp_path: Path, limits: dict[str, int], kept: set[str]
) -> None:
    for name, age in (("b", 2), ("c", 9), ("a", 1)):
        make(tmp_path, name, age, 100)
    (tmp_path / "no-record").mkdir()
    history.remove_old_jobs(tmp_path, **limits)
    assert names(tmp_path) == kept | {"no-record"}


def test_a_missing_folder_has_no_old_jobs(tmp_path: Path) -> None:
    history.remove_old_jobs(tmp_path / "jobs")


def test_a_limited_number_of_starts_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BOOTS", 3)
    for boot in "abcd":
        boots = history.note_boot(tmp_path, boot)
    assert boots == {"b", "c", "d"}

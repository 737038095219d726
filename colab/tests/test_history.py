"""Starts of earlier executors."""

from __future__ import annotations

from pathlib import Path

import pytest

from smart_colab_executor.jobs import history


def test_a_limited_number_of_starts_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BOOTS", 3)
    for boot in "abcd":
        boots = history.note_boot(tmp_path, boot)
    assert boots == {"b", "c", "d"}

"""Two executors never share a state folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from smart_colab_executor import statelock


def test_a_folder_in_use_is_refused_and_freed_by_its_holder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with statelock.take(folder), pytest.raises(BlockingIOError, match="another executor"):
        statelock.take(folder, patience_sec=0)
    statelock.take(folder, patience_sec=0).close()


def test_an_executor_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    held = statelock.take(tmp_path)
    threading.Timer(0.3, held.close).start()
    before = time.monotonic()
    statelock.take(tmp_path).close()
    assert time.monotonic() - before >= 0.2

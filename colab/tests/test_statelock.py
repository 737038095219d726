"""Two executors never share a state folder."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smart_colab_executor.machine import state_lock


def test_a_folder_in_use_is_refused_until_released(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with state_lock.take(folder), pytest.raises(BlockingIOError, match="another executor"):
        state_lock.take(folder, patience_sec=0)
    state_lock.take(folder, patience_sec=0).close()


def test_an_executor_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    held = state_lock.take(tmp_path)
    threading.Timer(0.3, held.close).start()
    before = time.monotonic()
    state_lock.take(tmp_path).close()
    assert time.monotonic() - before >= 0.2


def test_releasing_a_lock_does_not_remove_a_waiters_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file is removed on release, while others wait for it."""
    held, waits, pause = state_lock.take(tmp_path), threading.Event(), time.sleep

    def wait(seconds: float) -> None:
        waits.set()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(state_lock.take, tmp_path)
        assert waits.wait(40)
        held.close()
        with waiting.result():
            shutil.rmtree(tmp_path, ignore_errors=True)
            if sys.platform != "win32":
                with pytest.raises(BlockingIOError):
                    state_lock.take(tmp_path, patience_sec=0)

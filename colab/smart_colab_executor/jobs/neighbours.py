"""State folders of other executors beside ours, numbered by their bridges; jobs of ended executors are taken over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..kernels.leftovers import KernelNotes, last_words
from ..machine import state_lock


class Neighbours:
    """The numbered folders beside `state`."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def with_jobs(self) -> list[Path]:
        """Return the neighbours' folders that hold jobs."""
        found = []
        for folder in self._others():
            with suppress(OSError):
                if next((folder / "jobs").iterdir(), None) is not None:
                    found.append(folder)
        return found

    def with_job(self, job_id: str) -> list[Path]:
        """Return the neighbours' folders that hold this job."""
        return [folder for folder in self._others() if (folder / "jobs" / job_id).is_dir()]

    def _others(self) -> list[Path]:
        with suppress(OSError):
            # Names, of which a folder may have many: paths are made of few.
            names = os.listdir(self._state.parent)  # noqa: PTH208
            return [self._state.with_name(name) for name in names if name.isdigit() and name != self._state.name]
        return []


@contextmanager
def ended(state: Path) -> Iterator[Mapping[str, Sequence[tuple[str, str]]]]:
    """Lock the folder of an ended executor and end its kernels; yield their unread output.

    Raises BlockingIOError while the executor is running, and OSError.
    """
    with state_lock.take(state, patience_sec=0), last_words(KernelNotes(state / "kernels")) as words:
        yield words

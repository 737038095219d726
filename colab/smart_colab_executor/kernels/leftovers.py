"""Kernels that outlive their executor: a note of each one's process while it lives, an end to it, and its last words.

An executor that is killed cannot end its kernels, and they run on until they notice: for a second, or for ever where
the system hands orphans to something else than its first process.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ..core.disk import write_atomically
from ..core.spoiled import ERRORS, clear_place, read_object, set_aside
from ..in_kernel.journal import LastWords
from ..in_kernel.jsonline import dump
from ..in_kernel.message_ids import job_of
from .connections import remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

PATIENCE_SEC = 10.0
PAUSE_SEC = 0.02
# The system counts in ticks of 10 ms; a number used again so soon is another process's only in theory.
SAME_SEC = 0.005


class KernelNotes:
    """A note for each process of a kernel, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, kernel_id: str, pid: int | None, sockets: Path | None = None) -> None:
        """Note that `pid` is a kernel's (None: not started yet), and the folder of its sockets. Raises OSError."""
        with suppress(psutil.NoSuchProcess):
            note: dict[str, Any] = {"sockets": str(sockets) if sockets else None}
            if pid is not None:
                note |= {"pid": pid, "created": psutil.Process(pid).create_time()}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(kernel_id), dump(note))

    def knows(self, kernel_id: str) -> bool:
        """Whether there is a note."""
        return self._path(kernel_id).exists()

    def remove(self, kernel_id: str) -> None:
        """The kernel's process is gone."""
        with suppress(OSError):
            self._path(kernel_id).unlink(missing_ok=True)

    def journal(self, kernel_id: str) -> Path:
        """Where a kernel keeps the end of what it printed."""
        return self._folder / f"{kernel_id}.journal"

    def end_leftovers(self, patience_sec: float = PATIENCE_SEC) -> list[LastWords]:
        """End the noted kernels that still live, with all that they started, and wait until they are gone.

        Returns the journals of those that are gone.
        """
        noted = {note: _noted(note) for note in self._folder.glob("*.json")}
        families = {note: family for note, (family, _) in noted.items()}
        doomed = [process for family in families.values() for process in family]
        for process in doomed:
            # It looks once more whether it is still the same process.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        deadline = time.monotonic() + patience_sec
        while any(map(_lives, doomed)) and time.monotonic() < deadline:
            time.sleep(PAUSE_SEC)
        survivors = {process.pid for process in doomed if _lives(process)}
        if doomed:
            log.warning("ended %d processes of kernels that were left behind", len(doomed) - len(survivors))
        if survivors:
            log.error("processes of kernels that were left behind do not end: %s", sorted(survivors))
        # Where something survives, the next start tries again.
        for note, family in families.items():
            if survivors.isdisjoint(process.pid for process in family):
                if sockets := noted[note][1]:
                    remove_folder(sockets)
                with suppress(OSError):
                    note.unlink()
        living = {note.stem for note, family in families.items() if family and family[0].pid in survivors}
        journals = [path for path in self._folder.glob("*.journal") if path.stem not in living]
        for path in journals:
            clear_place(path)
        return [LastWords(path) for path in journals if path.exists()]

    def _path(self, kernel_id: str) -> Path:
        return self._folder / f"{kernel_id}.json"


@contextmanager
def last_words(notes: KernelNotes) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """End what is left of kernels; yields what they printed that nobody has read, and forgets it once that is kept."""
    journals = notes.end_leftovers()
    yield unread(journals)
    for journal in journals:
        journal.settle()
        journal.remove()


def unread(journals: Iterable[LastWords]) -> dict[str, list[tuple[str, str]]]:
    """What these say that nobody has read: by the id of its job, in order, the stream's name and the text."""
    found: dict[str, list[tuple[str, str]]] = {}
    for journal in journals:
        try:
            journal.take_up()
            for key, text in journal.unheard():
                name, _, message_id = key.partition(" ")
                found.setdefault(job_of(message_id), []).append((name, text))
        except OSError as error:
            log.warning("%s cannot be read: %s", journal.path.name, error)
    return found


def _noted(path: Path) -> tuple[list[psutil.Process], Path | None]:
    """The noted process, when it is still the same one, and all that it started; and the folder of its sockets."""
    try:
        note = read_object(path)
        sockets = Path(note["sockets"]) if note["sockets"] else None
        pid, created = (int(note["pid"]), float(note["created"])) if "pid" in note else (None, 0.0)
    except ERRORS as error:
        set_aside(path, error)
        return [], None
    try:
        kernel = psutil.Process(pid)
        if pid is None or abs(kernel.create_time() - created) > SAME_SEC:
            return [], sockets
        return [kernel, *kernel.children(recursive=True)], sockets
    except (ValueError, OverflowError, psutil.Error):
        return [], sockets


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

"""Kernels that outlive their executor: a record of each process, and the means to end it and collect its output.

An executor that is killed cannot end its kernels. They run until they notice that their parent has gone: for a second,
or forever if the system gives orphans another parent than its first process.
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
from ..machine import probe
from .connections import remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

END_TIMEOUT_SEC = 10.0
POLL_INTERVAL_SEC = 0.02
# The system counts in ticks of 10 ms; a pid is reused that soon only in theory.
MAX_CREATION_DIFFERENCE_SEC = 0.005


class KernelNotes:
    """A record of each kernel's process, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, kernel_id: str, pid: int | None, sockets: Path | None = None) -> None:
        """Record a kernel's pid (None: not started yet) and the folder of its sockets. Raises OSError."""
        with suppress(psutil.NoSuchProcess):
            note: dict[str, Any] = {"sockets": str(sockets) if sockets else None}
            if pid is not None:
                note |= {"pid": pid, "created": psutil.Process(pid).create_time()}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(kernel_id), dump(note))

    def has(self, kernel_id: str) -> bool:
        """Return whether a kernel is recorded."""
        return self._path(kernel_id).exists()

    def remove(self, kernel_id: str) -> None:
        """Remove the record of a kernel whose process has ended."""
        with suppress(OSError):
            self._path(kernel_id).unlink(missing_ok=True)

    def journal(self, kernel_id: str) -> Path:
        """Return the path of a kernel's journal, which holds the end of its output."""
        return self._folder / f"{kernel_id}.journal"

    def end_leftovers(self, patience_sec: float = END_TIMEOUT_SEC) -> list[LastWords]:
        """Kill the recorded kernels that still run, with all their children, and wait until they have ended.

        Returns the journals of the ended kernels.
        """
        noted = {note: _noted(note) for note in self._folder.glob("*.json")}
        families = {note: family for note, (family, _) in noted.items()}
        doomed = [process for family in families.values() for process in family]
        for process in doomed:
            # psutil checks again that it is the same process.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        deadline = time.monotonic() + patience_sec
        while any(map(probe.lives, doomed)) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_SEC)
        survivors = {process.pid for process in doomed if probe.lives(process)}
        if doomed:
            log.warning("ended %d processes of leftover kernels", len(doomed) - len(survivors))
        if survivors:
            log.error("processes of leftover kernels do not end: %s", sorted(survivors))
        # The records of survivors stay, so that the next start tries again.
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
    """End leftover kernels; yield their unread output, and delete the journals once the caller has stored it."""
    journals = notes.end_leftovers()
    yield unread(journals)
    for journal in journals:
        journal.mark_reported()
        journal.remove()


def unread(journals: Iterable[LastWords]) -> dict[str, list[tuple[str, str]]]:
    """Return the unread output in journals: by job id, in order, the stream's name and the text."""
    found: dict[str, list[tuple[str, str]]] = {}
    for journal in journals:
        try:
            journal.open_existing()
            for key, text in journal.take_unreceived():
                name, _, message_id = key.partition(" ")
                found.setdefault(job_of(message_id), []).append((name, text))
        except OSError as error:
            log.warning("%s cannot be read: %s", journal.path.name, error)
    return found


def _noted(path: Path) -> tuple[list[psutil.Process], Path | None]:
    """Return a recorded process, if it is still the same, with its children; and the folder of its sockets."""
    try:
        note = read_object(path)
        sockets = Path(note["sockets"]) if note["sockets"] else None
        pid, created = (int(note["pid"]), float(note["created"])) if "pid" in note else (None, 0.0)
    except ERRORS as error:
        set_aside(path, error)
        return [], None
    try:
        kernel = psutil.Process(pid)
        if pid is None or abs(kernel.create_time() - created) > MAX_CREATION_DIFFERENCE_SEC:
            return [], sockets
        return [kernel, *kernel.children(recursive=True)], sockets
    except (ValueError, OverflowError, psutil.Error):
        return [], sockets

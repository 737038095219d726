"""Checks a cell's streams at its end: broken ones are restored, redirected ones are reported in each job.

Runs in the kernel, as `_smart_colab.diversions`; standard library only. As in every kernel, a stream or a descriptor
that the code has replaced stays replaced from cell to cell; without a note later cells would seem to print nothing.
One of a job's steps reports it, and none if the job itself has replaced it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import origins

if TYPE_CHECKING:
    from .descriptors import Descriptors

NAMES = ("stdout", "stderr")
# Jobs whose steps may alternate.
MAX_JOBS = 100


class Diversions:
    """Checks `sys.stdout`, `sys.stderr` and descriptors 1 and 2 at the end of every cell."""

    def __init__(self, shell: Any, streams: tuple[Any, Any]) -> None:
        self.descriptors: Descriptors | None = None
        self._own = dict(zip(NAMES, streams, strict=True))
        # The streams that the running cell has found, and not replaced itself.
        self._found: dict[str, Any] = {}
        self._found_diverted: set[int] = set()
        # The code's own streams, and whether they forward to ours.
        self._passing: dict[str, tuple[Any, bool]] = {}
        # The redirections that the latest jobs have seen: streams and descriptors by job.
        self._known: dict[str, tuple[dict[str, Any], set[int]]] = {}
        self._job = ""
        shell.events.register("post_execute", self._look)

    def begin(self, job: str) -> None:
        """Note the streams at the start of a cell of this job."""
        self._job = job
        streams, descriptors = self._known.get(job, ({}, set()))
        found = {name: getattr(sys, name, None) for name in NAMES}
        self._found = {name: stream for name, stream in found.items() if stream is not streams.get(name)}
        self._found_diverted = set(self._diverted) - descriptors

    @property
    def _diverted(self) -> list[int]:
        return self.descriptors.diverted if self.descriptors is not None else []

    def _note(self) -> None:
        """Record the redirections that the job has seen: its next step does not report them again."""
        self._known.pop(self._job, None)
        streams = {name: stream for name, own in self._own.items() if (stream := getattr(sys, name)) is not own}
        if streams or self._diverted:
            self._known[self._job] = streams, set(self._diverted)
            if len(self._known) > MAX_JOBS:
                del self._known[next(iter(self._known))]

    def _look(self) -> None:
        for name, own in self._own.items():
            self._restore_broken(name, own)
            left = getattr(sys, name)
            # Not while a magic captures the output of a nested cell.
            if left is not own and left is self._found.get(name) and not self._comes_here(name, left):
                del self._found[name]
                self._print_note(
                    f"sys.{name} is {_described(left)}, set by an earlier cell: printed text goes there. "
                    f"To restore it: sys.{name} = sys.__{name}__"
                )
        if self.descriptors is not None:
            self._look_at_descriptors(self.descriptors)
        self._note()

    def _look_at_descriptors(self, descriptors: Descriptors) -> None:
        for descriptor in descriptors.look():
            self._print_note(f"descriptor {descriptor} was closed by the code and has been restored")
        for descriptor in self._found_diverted.intersection(descriptors.diverted):
            self._found_diverted.remove(descriptor)
            with suppress(OSError):  # there are no free descriptors
                self._print_note(
                    f"descriptor {descriptor} was redirected {_place(descriptor)} by an earlier cell: text written to "
                    f"it goes there. To restore it: os.dup2({descriptors.way_back(descriptor)}, {descriptor})"
                )

    def _restore_broken(self, name: str, own: Any) -> None:
        """Restore our stream if the code left one that cannot be flushed: ipykernel would never answer."""
        left = getattr(sys, name)
        if left is own:  # flushed by ipykernel; a second flush would double the cost for every cell
            return
        try:
            left.flush()
        except Exception as error:  # noqa: BLE001, RUF100 - a user's own stream may raise anything
            setattr(sys, name, own)
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._print_note(f"sys.{name} has been restored: the code left a stream that cannot be flushed ({why})")

    def _comes_here(self, name: str, stream: Any) -> bool:
        """Return whether text written to the code's stream is shown, as when it also copies to a file."""
        if self.descriptors is not None:
            with suppress(Exception):
                if self.descriptors.is_ours(stream.fileno()):
                    return True
        own = self._own[name]
        known, passes = self._passing.get(name, (None, False))
        if known is not stream:
            passes = _passes(stream, own)
        # Text passed on during this cell takes precedence.
        passes = passes or own.source.parent is origins.current()
        self._passing[name] = (stream, passes)
        return passes

    def _print_note(self, what: str) -> None:
        self._own["stderr"].write_here(f"[{what}]\n")


def _passes(stream: Any, own: Any) -> bool:
    """Return whether writing to `stream` writes to `own`."""
    reached = False
    write = own.write

    def notice(text: str) -> int:
        nonlocal reached
        reached = True
        return int(write(text))

    own.write = notice
    try:
        stream.write("")
    except Exception:  # noqa: BLE001, RUF100 - a user's own stream may raise anything
        return False
    finally:
        own.write = write
    return reached


def _described(stream: Any) -> str:
    with suppress(Exception):
        if isinstance(name := stream.name, str):
            return f"the file {name}"
    return f"an object of the class {type(stream).__name__}"


def _place(descriptor: int) -> str:
    with suppress(OSError):
        return f"to {Path(f'/proc/self/fd/{descriptor}').readlink()}"
    return "elsewhere"

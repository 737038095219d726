"""Where a cell's output goes at its end: what is broken is put back, and what goes elsewhere is said in each job.

Runs in the kernel, as `_smart_colab.diversions`; standard library alone. As in every kernel, a stream or a descriptor
that the code has replaced stays so from cell to cell; without a word the later ones would look as if they printed
nothing. Of a job's steps one says so, and none where the job itself has replaced it.
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
# Jobs between whose steps others run.
MAX_JOBS = 100


class Diversions:
    """Looks at `sys.stdout`, `sys.stderr` and descriptors 1 and 2 at the end of every cell."""

    def __init__(self, shell: Any, streams: tuple[Any, Any]) -> None:
        self.descriptors: Descriptors | None = None
        self._own = dict(zip(NAMES, streams, strict=True))
        # What the cell that runs has found there, and not replaced itself.
        self._found: dict[str, Any] = {}
        self._found_diverted: set[int] = set()
        # The code's own streams, and whether they pass on to ours.
        self._passing: dict[str, tuple[Any, bool]] = {}
        # What each of the last jobs' steps has found or left there.
        self._known: dict[str, tuple[dict[str, Any], set[int]]] = {}
        self._job = ""
        shell.events.register("post_execute", self._look)

    def begin(self, job: str) -> None:
        """A cell of this job's begins."""
        self._job = job
        streams, descriptors = self._known.get(job, ({}, set()))
        found = {name: getattr(sys, name, None) for name in NAMES}
        self._found = {name: stream for name, stream in found.items() if stream is not streams.get(name)}
        self._found_diverted = set(self._diverted) - descriptors

    @property
    def _diverted(self) -> list[int]:
        return self.descriptors.diverted if self.descriptors is not None else []

    def _note(self) -> None:
        """Note what the job knows of: its next step is not to say it again."""
        self._known.pop(self._job, None)
        streams = {name: stream for name, own in self._own.items() if (stream := getattr(sys, name)) is not own}
        if streams or self._diverted:
            self._known[self._job] = streams, set(self._diverted)
            if len(self._known) > MAX_JOBS:
                del self._known[next(iter(self._known))]

    def _look(self) -> None:
        for name, own in self._own.items():
            self._take_back_broken(name, own)
            left = getattr(sys, name)
            # Not while a magic captures what a cell within this one prints.
            if left is not own and left is self._found.get(name) and not self._comes_here(name, left):
                del self._found[name]
                self._say(
                    f"sys.{name} is {_described(left)}, which an earlier cell put there: what is printed goes into it. "
                    f"To have it here again: sys.{name} = sys.__{name}__"
                )
        if self.descriptors is not None:
            self._look_at_descriptors(self.descriptors)
        self._note()

    def _look_at_descriptors(self, descriptors: Descriptors) -> None:
        for descriptor in descriptors.look():
            self._say(f"descriptor {descriptor} is the session's own again: the code closed it")
        for descriptor in self._found_diverted.intersection(descriptors.diverted):
            self._found_diverted.remove(descriptor)
            with suppress(OSError):  # the code has used up the descriptors
                self._say(
                    f"descriptor {descriptor} leads {_place(descriptor)} since an earlier cell: what is written to it "
                    f"goes there. To have it here again: os.dup2({descriptors.way_back(descriptor)}, {descriptor})"
                )

    def _take_back_broken(self, name: str, own: Any) -> None:
        """Put our stream back where the code left one that cannot be flushed: ipykernel would never answer."""
        left = getattr(sys, name)
        if left is own:  # and is flushed by ipykernel, at a cost that every cell would pay twice
            return
        try:
            left.flush()
        except Exception as error:  # noqa: BLE001, RUF100 - a user's own stream may raise anything
            setattr(sys, name, own)
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._say(f"sys.{name} is the session's own again: what the code left cannot be flushed ({why})")

    def _comes_here(self, name: str, stream: Any) -> bool:
        """Whether what is written to a stream of the code's is shown, as with one that copies it into a file."""
        if self.descriptors is not None:
            with suppress(Exception):
                if self.descriptors.is_ours(stream.fileno()):
                    return True
        own = self._own[name]
        known, passes = self._passing.get(name, (None, False))
        if known is not stream:
            passes = _passes(stream, own)
        # What it was seen to do in this cell counts more.
        passes = passes or own.source.parent is origins.current()
        self._passing[name] = (stream, passes)
        return passes

    def _say(self, what: str) -> None:
        self._own["stderr"].write_here(f"[{what}]\n")


def _passes(stream: Any, own: Any) -> bool:
    """Whether writing to `stream` writes to `own`."""
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

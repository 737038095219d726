"""Files on their way in: written beside their goal under a name of ours, then given their own name at once."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..core.disk import write_atomically
from ..core.errors import InvalidArgument
from ..core.spoiled import ERRORS, read_object, set_aside
from .content_root import ContentRoot, show
from .os_errors import is_a_folder, translate_write_errors

MAX_AGE_DAYS = 7

_PARTIAL = re.compile(r"\.smart-colab-[0-9a-f]{32}\.partial")


def is_partial(name: str) -> bool:
    """Whether this is the name of a file on its way in."""
    return _PARTIAL.fullmatch(name) is not None


def partial_of(goal: Path, key: str) -> Path:
    """Where the bytes lie until then; a short name, however long the goal's is. `key`: 32 hexadecimal digits."""
    return goal.with_name(f".smart-colab-{key}.partial")


def goal_at(root: ContentRoot, path: str) -> tuple[Path, Path]:
    """Find the place for a new file: as replies spell it, and in its folder's real place.

    Raises IsADirectory, InvalidArgument, OutsideRoot.
    """
    file = root.locate(path)
    with translate_write_errors(file):
        if file.name == ".." or path.endswith("/") or file.is_dir():
            raise is_a_folder(file)
    if is_partial(file.name):
        raise InvalidArgument(f"{show(file.name)} is a name for uploads under way.", "Choose another name.")
    return file, root.check(file.parent) / file.name


def is_executable(status: os.stat_result) -> bool | None:
    """Whether a file's owner may run it; None where the system keeps no such thing, and for what is no file."""
    return bool(status.st_mode & stat.S_IXUSR) if os.name != "nt" and stat.S_ISREG(status.st_mode) else None


def make_executable(file: Path) -> None:
    """Let all those run a file who may read it. Mounted drives may know no modes."""
    with suppress(OSError):
        mode = stat.S_IMODE(file.stat().st_mode)
        file.chmod(mode | (mode & 0o444) >> 2)


def settle(partial: Path, goal: Path, modified_ns: int | None, executable: bool) -> None:
    """Give a complete file its name, over what had it before, whose mode it keeps. Raises OSError."""
    # Mounted drives may know no modes and no times; a file that is whole is not refused for that.
    with suppress(OSError):
        earlier = goal.stat().st_mode
        if stat.S_ISREG(earlier):
            partial.chmod(stat.S_IMODE(earlier))
    if executable:
        make_executable(partial)
    if modified_ns is not None:
        with suppress(OSError):
            os.utime(partial, ns=(modified_ns, modified_ns))
    partial.replace(goal)


def note_partials(note: Path, partials: Iterable[Path], **more: object) -> None:
    """Write down which partial files there are, before they are, so that the next executor can remove them."""
    note.parent.mkdir(parents=True, exist_ok=True)
    content = {"partials": [str(partial) for partial in partials], **more}
    write_atomically(note, json.dumps(content).encode())  # in ASCII: a name need not be UTF-8


def remove_leftovers(notes: Path, days: float = MAX_AGE_DAYS) -> None:
    """Remove uploads that nothing came for in so many days, and what was left of bundles. Called at the start."""
    oldest = time.time() - days * 86_400
    for path in notes.glob("*.json"):
        try:
            note = read_object(path)
            if "received" not in note or path.stat().st_mtime < oldest:
                for partial in note["partials"]:
                    with suppress(OSError):
                        Path(partial).unlink(missing_ok=True)
                path.unlink()
        except ERRORS as error:
            set_aside(path, error)

"""Partial files: written beside the target under a reserved name, then renamed to the target in one step."""

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
from .os_errors import folder_error, translate_write_errors

MAX_AGE_DAYS = 7

_PARTIAL = re.compile(r"\.smart-colab-[0-9a-f]{32}\.partial")


def is_partial(name: str) -> bool:
    """Return whether this is the name of a partial file."""
    return _PARTIAL.fullmatch(name) is not None


def partial_of(goal: Path, key: str) -> Path:
    """Return the path of the partial file for `goal`; its name is short. `key`: 32 hexadecimal digits."""
    return goal.with_name(f".smart-colab-{key}.partial")


def goal_at(root: ContentRoot, path: str) -> tuple[Path, Path]:
    """Return the path for a new file: as replies spell it, and inside its resolved folder; of a link, that of its file.

    Raises IsADirectory, InvalidArgument, OutsideRoot.
    """
    file = root.locate(path)
    with translate_write_errors(file):
        if file.name == ".." or path.endswith("/") or file.is_dir():
            raise folder_error(file)
    if is_partial(file.name):
        raise InvalidArgument(f"{show(file.name)} is reserved for uploads in progress.", "Choose another name.")
    linked = root.check(file) if file.is_symlink() else None
    if linked is not None and linked.is_file():
        return file, linked
    return file, root.check(file.parent) / file.name


def is_executable(status: os.stat_result) -> bool | None:
    """Return whether a file's owner may run it; None on Windows and for anything but a regular file."""
    return bool(status.st_mode & stat.S_IXUSR) if os.name != "nt" and stat.S_ISREG(status.st_mode) else None


def make_executable(file: Path) -> None:
    """Add execute permission for everyone with read permission. Mounted drives may have no modes."""
    with suppress(OSError):
        mode = stat.S_IMODE(file.stat().st_mode)
        file.chmod(mode | (mode & 0o444) >> 2)


def rename_into_place(partial: Path, goal: Path, modified_ns: int | None, executable: bool) -> None:
    """Rename a complete partial file to `goal`; an existing file is replaced and its mode kept. Raises OSError."""
    # Mounted drives may have no modes and times; a complete file is not refused for that.
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
    """Record partial files before they are created, so that the next executor can remove them."""
    note.parent.mkdir(parents=True, exist_ok=True)
    content = {"partials": [str(partial) for partial in partials], **more}
    write_atomically(note, json.dumps(content).encode())  # in ASCII: a name need not be UTF-8


def remove_leftovers(notes: Path, days: float = MAX_AGE_DAYS, *, at_start: bool) -> None:
    """Remove uploads idle for `days` and, at the executor's start, leftovers of bundles."""
    oldest = time.time() - days * 86_400
    for path in notes.glob("*.json"):
        try:
            note = read_object(path)
            is_upload = "received" in note
            if (at_start and not is_upload) or (is_upload and path.stat().st_mtime < oldest):
                for partial in note["partials"]:
                    with suppress(OSError):
                        Path(partial).unlink(missing_ok=True)
                path.unlink()
        except ERRORS as error:
            set_aside(path, error)

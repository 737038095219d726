"""Set unreadable files of the state folder aside, so that the executor starts all the same."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SUFFIX = ".unreadable"
FILES = ("lock", "boots", "boots.partial", "jobs.db", "jobs.db-wal", "audit.jsonl", "audit.1.jsonl")
FOLDERS = ("jobs", "kernels", "uploads")
# Raised by reading and using such a file.
ERRORS = (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises one of ERRORS."""
    check_regular(path)
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def check_regular(path: Path) -> None:
    """Raise OSError unless this is a regular file: a FIFO would block, and a device may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def clear_place(path: Path) -> None:
    """Set aside anything but a regular file at `path`: a folder, a FIFO, a socket, a device."""
    try:
        check_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        set_aside(path, error)


def check_layout(state: Path) -> None:
    """Set aside whatever occupies the place of the executor's own files and folders."""
    for name in FILES:
        clear_place(state / name)
    for name in FOLDERS:
        path = state / name
        if os.path.lexists(path) and not _is_usable(path):
            set_aside(path, NotADirectoryError(errno.ENOTDIR, "not a readable folder"))


def clear_places(state: Path) -> None:
    """Set aside files that appeared in the place of the executor's folders while it runs."""
    for path in (state, *(state / name for name in FOLDERS)):
        if path.is_file():
            set_aside(path, NotADirectoryError(errno.ENOTDIR, "not a folder"))


def _is_usable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def set_aside(path: Path, error: BaseException) -> None:
    """Rename an unreadable file, and log the new name."""
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    name = f"{path.parent.name}/{path.name}"
    for number in range(100):
        aside = path.with_name(f"{path.name}{SUFFIX}{number or ''}")
        if os.path.lexists(aside):
            continue
        try:
            path.rename(aside)
        except OSError as failure:
            log.warning("%s cannot be read (%s) or set aside: %s", name, reason, failure.strerror)
        else:
            log.warning("%s cannot be read (%s) and was set aside as %s", name, reason, aside.name)
        return
    log.warning("%s cannot be read (%s) and is left where it is", name, reason)

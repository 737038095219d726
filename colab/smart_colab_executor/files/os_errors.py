"""Translate errors of the operating system about files into errors of the API."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ..core.disk import NO_ROOM
from ..core.errors import DiskFull, InvalidArgument, IsADirectory, NotFound
from .content_root import names, show

MAX_NAMES_COMPARED = 10_000


@contextmanager
def translate_read_errors(file: Path) -> Iterator[None]:
    """Raise API errors in place of the OSErrors of reading `file`."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_error(file) from error
    except IsADirectoryError as error:
        raise folder_error(file) from error
    except PermissionError as error:
        raise InvalidArgument(
            f"{show(file)} cannot be read by the user that the executor runs as.",
            "Change its permissions, or copy it.",
        ) from error
    except OSError as error:
        raise InvalidArgument(f"{show(file)} cannot be read: {_reason(error)}.", "Check the path.") from error


@contextmanager
def translate_write_errors(file: Path) -> Iterator[None]:
    """Raise API errors in place of the OSErrors of writing `file` or creating its folders."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidArgument(
            f"{show(_in_the_way(file))} is a file, so {show(file)} cannot be in it.",
            "Write to another folder, or remove the file first.",
        ) from error
    except IsADirectoryError as error:
        raise folder_error(file) from error
    except PermissionError as error:
        raise InvalidArgument(
            f"{show(file)} cannot be written by the user that the executor runs as.",
            "Write to another folder, or change the folder's permissions.",
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"The disk ran out of space while {show(file)} was written ({error.strerror}).",
                "Remove files that are not needed, then send it again: the bytes already received are kept.",
            ) from error
        raise InvalidArgument(f"{show(file)} cannot be written: {_reason(error)}.", "Check the path.") from error


def folder_error(file: Path) -> IsADirectory:
    """Return the error for a folder where a file is needed."""
    return IsADirectory(f"{show(file)} is a folder.", "Name a file in it.")


def missing_error(file: Path) -> NotFound:
    """Return the error for a missing file, with similar names as the hint."""
    missing = file
    while not os.path.isdir(missing.parent) and missing.parent != missing:  # noqa: PTH112 - never raises
        missing = missing.parent
    if os.path.islink(missing) and not os.path.exists(missing):  # noqa: PTH110, PTH114 - never raise
        return NotFound(f"{show(missing)} is a broken link.", "Fix the link, or name another file.")
    try:
        there = [show(name) for name in islice(names(missing.parent), MAX_NAMES_COMPARED) if name != missing.name]
    except OSError:
        there = []
    # Above difflib's 0.6, which any short name with the same ending has.
    alike = difflib.get_close_matches(show(missing.name), there, cutoff=0.7)
    near = [show(missing.parent / name) for name in alike]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"List {show(missing.parent)} to see what it holds."
    return NotFound(f"There is no {show(file)}.", hint)


def _in_the_way(file: Path) -> Path:
    """Return the deepest parent that exists."""
    return next((folder for folder in file.parents if os.path.lexists(folder)), file)


def _reason(error: OSError) -> str:
    return f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, 'unknown')})"

"""The file of a saved session: a zip archive with a member for each variable, and a manifest.

Runs in the kernel, as `_smart_colab.saved_state`; standard library only. Members are not compressed, so that they are
read in place.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any

from .facts import format_bytes

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

FORMAT = 1
MANIFEST = "manifest.json"
FOLDER = "variables/"
CONTENT = "/content"
CHUNK_BYTES = 1024 * 1024


class SessionError(Exception):
    """A session was not saved or not loaded; the message gives the reason and the remedy.

    The program that asked for it tells its subclasses by their names.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class SessionNotSaved(SessionError):
    """Nothing was saved, and a file of an earlier time is as it was."""


class SessionNotLoaded(SessionError):
    """Nothing was loaded."""


class SessionPathInvalid(SessionError):
    """The path cannot name a file of a saved session."""


class SavedSessionNotFound(SessionError):
    """There is no such file."""


class SavedVariableNotFound(SessionError):
    """The file has no variable of this name."""


class SessionVariableNotFound(SessionError):
    """The session has no variable of this name."""


def place(root: str, path: str) -> Path:
    """Return the file that `path` names under the content root. Raises SessionPathInvalid."""
    if not Path(CONTENT).is_dir() and (path + "/").startswith(CONTENT + "/"):
        path = path[len(CONTENT) :].lstrip("/")
    file = Path(root, path)
    if "\0" in path or not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root)):
        raise SessionPathInvalid(f"{path!r} is outside the content root {root}: name a path below it")
    try:
        is_folder = S_ISDIR(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        raise SessionPathInvalid(f"path cannot name a file ({error.strerror}): name another one") from None
    if is_folder:
        example = f"{path.rstrip('/') or 'saved_sessions'}/session.zip"
        raise SessionPathInvalid(f"{file} is a folder: name a file in it, such as {example}")
    return file


class Member(io.RawIOBase):
    """A member of an archive as a file of its own, in which a reader may jump."""

    def __init__(self, archive: ZipFile, info: ZipInfo) -> None:
        file: Any = archive.fp
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
        names = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        self._file = file
        self._start = info.header_offset + 30 + names
        self._size = info.file_size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`."""
        self._file.seek(self._start + self._at)
        count: int = self._file.readinto(memoryview(buffer)[: max(0, self._size - self._at)])
        self._at += count
        return count


class Table:
    """Prints a row for each variable as soon as its fate is known."""

    def __init__(self, names: list[str], last: str) -> None:
        self._width = max([len("name"), *(len(name) for name in names)])
        self._print("name", "type", "size", last)

    def row(self, name: str, kind: str, size: int | None, text: str) -> None:
        """Print a row."""
        self._print(name, kind, "" if size is None else format_bytes(size), text)

    def _print(self, name: str, kind: str, size: str, text: str) -> None:
        print(f"{name:{self._width}}  {kind:14}  {size:>10}  {text}", flush=True)


def count(number: int) -> str:
    """Return a number of variables in words."""
    return f"{number} variable{'' if number == 1 else 's'}"


def reason_of(error: BaseException) -> str:
    """Return an exception in one line."""
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:  # noqa: BLE001, RUF100 - the user's own
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""The content root: which paths lead into it, and which out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from ..core.errors import Busy, InvalidArgument, OutsideRoot
from .ranges import open_regular

STATE_FOLDER = ".smart_colab"
CONTENT = "/content"
TRIES = 8


class ContentRoot:
    """The folder that the routes of `/files` show, without the executor's own notes in it."""

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self.path = Path(os.path.abspath(root))  # noqa: PTH100 - shown as it was given, links and all
        self._real = _resolved(self.path)
        self._state = _resolved(state or self.path / STATE_FOLDER)
        self._has_content = Path(CONTENT).is_dir()

    def locate(self, path: str) -> Path:
        """Find what a request names. Raises InvalidArgument, OutsideRoot."""
        if "\0" in path:
            raise InvalidArgument("A path cannot hold a NUL character.", "Check the path.")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise InvalidArgument("The path holds half of a surrogate pair.", "Send valid Unicode.") from None
        if not self._has_content and (path + "/").startswith(CONTENT + "/"):
            path = path[len(CONTENT) :].lstrip("/")
        file = self.path / path
        if "\ufffd" in path:
            file = _spelled(file)
        self.check(file)
        return file

    def check(self, file: Path) -> Path:
        """Follow a path to its end, or that of its deepest folder that there is. Raises OutsideRoot."""
        # A share's name is not even looked up: Windows would log in there.
        real = _resolved(file) if file.drive.lower() == self.path.drive.lower() else None
        if real is None or not real.is_relative_to(self._real):
            raise OutsideRoot(
                f"{show(file)} leads out of the content root {show(self.path)}.",
                "Run code that copies it into the root first, such as shutil.copy(path, '.'), "
                "or start the executor with another --root.",
            )
        if self._is_state(real):
            raise OutsideRoot(
                f"{show(file)} belongs to the executor itself.",
                "These are its notes of jobs: what a job printed and made is to be had by the job's id.",
            )
        return real

    def holds(self, file: Path) -> bool:
        """Whether a path, followed to its end, is in the root."""
        try:
            self.check(file)
        except OutsideRoot:
            return False
        return True

    def open(self, file: Path) -> BufferedReader:
        """Open a regular file of the root. Raises OutsideRoot, Busy, OSError.

        Code can put a link under a name just after it was looked at. So the file that was opened is compared with what
        the name leads to, and that is in the root. A file that is replaced by a better one meanwhile is opened again.
        """
        for _ in range(TRIES):
            stream = open_regular(file)
            try:
                is_same = os.path.samestat(os.fstat(stream.fileno()), self.check(file).stat())
            except BaseException:
                stream.close()
                raise
            if is_same:
                return stream
            stream.close()
        raise Busy(f"{show(file)} is replaced all the time.", "Try again when nothing writes it.")

    def state_below(self, folder: Path) -> str | None:
        """Where the executor's own folder lies below `folder`, if it does."""
        real = _resolved(folder)
        return str(self._state.relative_to(real)) if self._state.is_relative_to(real) else None

    def _is_state(self, real: Path) -> bool:
        """Compared as files: on some systems one folder has many names."""
        try:
            state = self._state.stat()
        except OSError:
            return False
        for folder in (real, *real.parents):
            if folder == self._real:  # what holds the root is not asked about
                return False
            try:
                if os.path.samestat(folder.stat(), state):
                    return True
            except OSError:
                continue  # not there
        return False


def show(name: str | Path) -> str:
    """Spell a name for JSON, which has no letter for the bytes of a name that is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def names(folder: Path) -> Iterator[str]:
    """Name what is in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve() raises where links lead in circles


def _spelled(path: Path) -> Path:
    """Find the file that `show` spells like this."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if "\ufffd" in part and not os.path.lexists(found / part):
            try:
                part = next((name for name in names(found) if show(name) == part), part)
            except OSError:
                return path
        found /= part
    return found

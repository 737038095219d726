"""The content root: which paths are inside it, and which are not."""

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
    """The folder that the routes of `/files` serve, without the executor's own files in it."""

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self.path = Path(os.path.abspath(root))  # noqa: PTH100 - shown as given, links unresolved
        self._real = _resolved(self.path)
        self._state = _resolved(state or self.path / STATE_FOLDER)
        self._has_content = Path(CONTENT).is_dir()

    def locate(self, path: str) -> Path:
        """Return the path that a request names. Raises InvalidArgument, OutsideRoot."""
        if "\0" in path:
            raise InvalidArgument("A path cannot contain a NUL character.", "Check the path.")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise InvalidArgument("The path contains a lone surrogate.", "Send valid Unicode.") from None
        if not self._has_content and (path + "/").startswith(CONTENT + "/"):
            path = path[len(CONTENT) :].lstrip("/")
        file = self.path / path
        if "\ufffd" in path:
            file = _spelled(file)
        self.check(file)
        return file

    def check(self, file: Path) -> Path:
        """Resolve a path, or the deepest part of it that exists. Raises OutsideRoot."""
        # The name of a share is not even resolved: Windows would log in there.
        real = _resolved(file) if file.drive.lower() == self.path.drive.lower() else None
        if real is None or not real.is_relative_to(self._real):
            raise OutsideRoot(
                f"{show(file)} is outside the content root {show(self.path)}.",
                f"Name a path below {show(self.path)}. To reach this one, run code that copies it there, such as "
                "shutil.copy(path, '.'), or start the executor with another --root.",
            )
        if self._is_state(real):
            raise OutsideRoot(
                f"{show(file)} belongs to the executor itself.",
                "It holds the records of jobs: get a job's output by the job's id.",
            )
        return real

    def is_inside(self, file: Path) -> bool:
        """Return whether a path, once resolved, is in the root."""
        try:
            self.check(file)
        except OutsideRoot:
            return False
        return True

    def open(self, file: Path) -> BufferedReader:
        """Open a regular file of the root. Raises OutsideRoot, Busy, OSError.

        Code can replace a name with a link just after it was checked. So the opened file is compared with what the name
        resolves to inside the root. A file that was replaced meanwhile is opened again.
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
        raise Busy(f"{show(file)} keeps being replaced.", "Try again when nothing is writing to it.")

    def state_below(self, folder: Path) -> str | None:
        """Return the relative path of the executor's own folder below `folder`, if it is there."""
        real = _resolved(folder)
        return str(self._state.relative_to(real)) if self._state.is_relative_to(real) else None

    def _is_state(self, real: Path) -> bool:
        """Return whether a path is in the state folder; compares files, as one folder may have many names."""
        try:
            state = self._state.stat()
        except OSError:
            return False
        for folder in (real, *real.parents):
            if folder == self._real:  # folders above the root do not matter
                return False
            try:
                if os.path.samestat(folder.stat(), state):
                    return True
            except OSError:
                continue  # does not exist
        return False


def show(name: str | Path) -> str:
    """Return a name as JSON can hold it: U+FFFD stands for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def names(folder: Path) -> Iterator[str]:
    """Yield the names in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve() raises where links lead in circles


def _spelled(path: Path) -> Path:
    """Return the file that `show` spells like this."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if "\ufffd" in part and not os.path.lexists(found / part):
            try:
                part = next((name for name in names(found) if show(name) == part), part)
            except OSError:
                return path
        found /= part
    return found

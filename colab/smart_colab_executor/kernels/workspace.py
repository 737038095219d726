"""The working folder in which code starts: recreated if it is removed while the executor runs."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)


class NoWorkspace(Exception):
    """The folder does not exist and cannot be created; the message gives the reason and the remedy."""


class Workspace:
    """An existing folder, which `ensure_exists` recreates."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = path.stat()

    def ensure_exists(self) -> None:
        """Recreate the folder if it was removed, with at most its earlier permissions. Raises NoWorkspace."""
        try:
            is_gone = False
            try:
                found = self.path.stat()
            except FileNotFoundError:
                is_gone = True
                self.path.mkdir(parents=True)
                found = self.path.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NoWorkspace(f"the working folder {self.path} is now a file: move it away")
            # Other parts of the executor may have recreated it, for a folder in it.
            if is_gone or (found.st_dev, found.st_ino) != (self._seen.st_dev, self._seen.st_ino):
                self.path.chmod(stat.S_IMODE(found.st_mode & self._seen.st_mode))
                self._seen = self.path.stat()
                log.error("%s was removed or replaced: the files that were in it are gone", self.path)
            self._keep_current_folder()
        except OSError as error:
            raise NoWorkspace(
                f"the working folder {self.path} is gone and cannot be recreated ({error.strerror}): create it"
            ) from error

    def start_in(self, folder: str | None) -> str:
        """Return the folder to start a kernel in: `folder` if it exists, or else this one."""
        return folder if folder and Path(folder).is_dir() else str(self.path)

    def _keep_current_folder(self) -> None:
        """Leave a removed current folder, often this one, since no process can be started from there."""
        try:
            Path.cwd()
        except FileNotFoundError:
            os.chdir(self.path)

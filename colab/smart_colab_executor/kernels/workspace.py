"""The folder in which code starts: made again where it was removed while the executor runs."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)


class NoWorkspace(Exception):
    """There is no such folder, and it cannot be made; the message says why and what to do."""


class Workspace:
    """A folder that is there, and that `keep` sees to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = path.stat()

    def keep(self) -> None:
        """Make it again where it was removed, no more open than it was. Raises NoWorkspace."""
        try:
            is_gone = not self.path.exists()
            if is_gone:
                self.path.mkdir(parents=True)
            found = self.path.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NoWorkspace(f"{self.path}, where code starts, is a file now: move it away")
            # Something else of ours may have made it, for a folder in it.
            if is_gone or (found.st_dev, found.st_ino) != (self._seen.st_dev, self._seen.st_ino):
                self.path.chmod(stat.S_IMODE(found.st_mode & self._seen.st_mode))
                self._seen = self.path.stat()
                log.error("%s was removed or replaced: the files that were in it are gone", self.path)
            self._keep_current_folder()
        except OSError as error:
            raise NoWorkspace(
                f"{self.path}, where code starts, is gone and cannot be made again ({error.strerror}): make it"
            ) from error

    def _keep_current_folder(self) -> None:
        """No process starts from a current folder that is gone, and ours is often this one."""
        try:
            Path.cwd()
        except FileNotFoundError:
            os.chdir(self.path)

"""One executor per state folder: two that write the same jobs would corrupt them."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..core.spoiled import clear_place

log = logging.getLogger(__name__)

# An executor that is shutting down, because its bridge restarts, needs some seconds for its kernels.
LOCK_TIMEOUT_SEC = 20.0
LOCK_RETRY_DELAY_SEC = 0.05
# Errors of a file system without locks; the folder is then used unlocked.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class StateLock:
    """The folder's lock, held until `close` or the end of the process."""

    def __init__(self, folder: Path, inside: BinaryIO, outside: BinaryIO | None) -> None:
        self._folder = folder
        self._inside = inside
        self._outside = outside
        self._is_reported = False

    def __enter__(self) -> StateLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder."""
        self._inside.close()
        if self._outside is not None:
            with suppress(OSError):
                Path(self._outside.name).unlink()
            self._outside.close()

    def restore_folder(self) -> None:
        """Recreate the folder if it was removed, and log that once."""
        if _is_at(self._inside, self._folder / "lock"):
            return
        if not self._is_reported:
            log.error(
                "%s was removed: the output of earlier jobs is gone; recreating it for the running and waiting jobs",
                self._folder,
            )
        self._is_reported = True
        try:
            inside = _lock(self._folder / "lock", self._folder, 0)
            # A job missing from it may have run: its earlier starts no longer prove the contrary.
            (self._folder / "boots").unlink(missing_ok=True)
        except OSError:
            return  # retried at the next call
        self._inside.close()
        self._inside, self._is_reported = inside, False


def take(folder: Path, patience_sec: float = LOCK_TIMEOUT_SEC) -> StateLock:
    """Lock the folder. Raises BlockingIOError while another executor holds the lock, and OSError."""
    # One lock lies outside: removing the folder removes the lock in it, and the next executor would find none.
    path = _place_outside(folder)
    outside = None if path is None else _lock(path, folder, patience_sec)
    try:
        return StateLock(folder, _lock(folder / "lock", folder, patience_sec), outside)
    except OSError:
        if outside is not None:
            outside.close()
        raise


def _lock(path: Path, folder: Path, patience_sec: float) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Code and output are private on a shared machine.
    path.parent.chmod(0o700)
    clear_place(path)
    deadline = time.monotonic() + patience_sec
    while True:
        file = _open(path)
        try:
            # A file that was removed meanwhile locks nothing.
            if _try_lock(file.fileno()) and _is_at(file, path):
                return file
        except OSError:
            file.close()
            raise
        file.close()
        if time.monotonic() >= deadline:
            raise BlockingIOError(errno.EAGAIN, "another executor uses this folder", str(folder))
        time.sleep(LOCK_RETRY_DELAY_SEC)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Return whether `path` still leads to the open file."""
    if sys.platform == "win32":  # open files cannot be removed there
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _place_outside(folder: Path) -> Path | None:
    """Return the path of the lock outside the folder; None if there is no private place for it."""
    if sys.platform == "win32":
        return None
    try:
        parent = Path(tempfile.gettempdir()) / f"smart-colab-locks-{os.getuid()}"
        parent.mkdir(mode=0o700, exist_ok=True)
        found = parent.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return parent / hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32] if is_ours else None


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except PermissionError:
        path.chmod(0o600)
        return path.open("ab")


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
        return True

"""One executor to a state folder: two that write the same jobs would ruin them."""

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

# An executor that was told to end, by a bridge that is being restarted, needs some seconds for its kernels.
PATIENCE_SEC = 20.0
PAUSE_SEC = 0.05
# What a file system without locks answers; the folder is then used unlocked.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class StateLock:
    """The folder's lock, ours until `close` or the end of the process, however it ends."""

    def __init__(self, folder: Path, inside: BinaryIO, outside: BinaryIO | None) -> None:
        self._folder = folder
        self._inside = inside
        self._outside = outside
        self._is_said = False

    def __enter__(self) -> StateLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go."""
        self._inside.close()
        if self._outside is not None:
            with suppress(OSError):
                Path(self._outside.name).unlink()
            self._outside.close()

    def look(self) -> None:
        """Make the folder again where it was removed, and say so once."""
        if _is_at(self._inside, self._folder / "lock"):
            return
        if not self._is_said:
            log.error(
                "%s was removed: what earlier jobs printed is gone; it is made again, for the jobs that run and wait",
                self._folder,
            )
        self._is_said = True
        try:
            inside = _lock(self._folder / "lock", self._folder, 0)
            # A job that it lacks may have run: none of its earlier starts vouches for that any more.
            (self._folder / "boots").unlink(missing_ok=True)
        except OSError:
            return  # until the next look
        self._inside.close()
        self._inside, self._is_said = inside, False


def take(folder: Path, patience_sec: float = PATIENCE_SEC) -> StateLock:
    """Make the folder's lock ours. Raises BlockingIOError while another executor has it, and OSError."""
    # One lies outside: who removes the folder removes the lock in it, and the next executor would find none.
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
    # Code and output are nobody else's business on a shared machine.
    path.parent.chmod(0o700)
    clear_place(path)
    deadline = time.monotonic() + patience_sec
    while True:
        file = _open(path)
        try:
            # One that was removed meanwhile locks nothing.
            if _try_lock(file.fileno()) and _is_at(file, path):
                return file
        except OSError:
            file.close()
            raise
        file.close()
        if time.monotonic() >= deadline:
            raise BlockingIOError(errno.EAGAIN, "another executor uses this folder", str(folder))
        time.sleep(PAUSE_SEC)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether this is the file of that name."""
    if sys.platform == "win32":  # what is open cannot be removed there
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _place_outside(folder: Path) -> Path | None:
    """Where a lock for the folder lies that is removed with nothing else; None where there is no place of ours."""
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

"""One executor to a state folder: two that write the same jobs would ruin them."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path
from typing import BinaryIO

# An executor that was told to end, by a bridge that is being restarted, needs some seconds for its kernels.
PATIENCE_SEC = 20.0
PAUSE_SEC = 0.05
# What a file system without locks answers; the folder is then used unlocked.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def take(folder: Path, patience_sec: float = PATIENCE_SEC) -> BinaryIO:
    """Make the folder's lock ours until the returned file is closed or the process ends, however it ends.

    Raises BlockingIOError while another executor has it, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Code and output are nobody else's business on a shared machine.
    folder.chmod(0o700)
    file = _open(folder / "lock")
    deadline = time.monotonic() + patience_sec
    try:
        while not _try_lock(file.fileno()):
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EAGAIN, "another executor uses this folder", str(folder))
            time.sleep(PAUSE_SEC)
    except OSError:
        file.close()
        raise
    return file


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

"""What the process of a preview may use."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

# Behind the time at which it is ended from outside, should nothing outside be left to do it.
MAX_LIFE_SEC = 30.0


def take_stdout() -> int:
    """Return a descriptor for the answer; what libraries print goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def confine() -> None:
    """Let this process write no file and end by itself."""
    faulthandler.dump_traceback_later(MAX_LIFE_SEC, exit=True, file=2)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def bound_memory(max_bytes: int) -> None:
    """Let this process take so much beyond what it has now. On Linux; elsewhere it is watched from outside alone."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

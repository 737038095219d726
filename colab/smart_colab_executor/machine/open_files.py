"""The limit on open files."""

from __future__ import annotations

import sys

OPEN_FILES = 4096


def allow_open_files() -> None:
    """Raise the limit to what all connections need; macOS starts with 256."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

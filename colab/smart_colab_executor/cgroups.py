"""The control groups of this process, for what Linux counts and limits of memory; other systems have none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


class MemoryGroup(NamedTuple):
    """A group that memory is counted in, and the root of all such."""

    version: int
    base: Path
    folder: Path


def memory_groups(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> Iterator[MemoryGroup]:
    """Name the groups of this process, by the file of its memberships (man 7 cgroups)."""
    for line in (read(membership) or b"").decode().splitlines():
        _, controllers, group = line.split(":", 2)
        inner = group.lstrip("/")
        if controllers == "":
            yield MemoryGroup(2, mount, mount / inner)
        elif "memory" in controllers.split(","):
            base = mount / "memory"
            yield MemoryGroup(1, base, base / inner)


def statistic(file: Path, name: str) -> int | None:
    """Look up a line `NAME NUMBER` in a file; None where there is none."""
    found = re.search(rb"^%b (\d+)$" % name.encode(), read(file) or b"", re.MULTILINE)
    return int(found[1]) if found else None


def read(file: Path) -> bytes | None:
    """All of a small file; None where there is none. Without what a buffer and its text cost, before and after a job."""
    try:
        with file.open("rb", buffering=0) as opened:
            return opened.readall()
    except OSError:
        return None

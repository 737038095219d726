"""The control groups of this process, with Linux's counts and limits of memory; other systems have none."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
# Such files come whole in one read.
MAX_BYTES = 65_536


class MemoryGroup(NamedTuple):
    """A group with a memory controller, and the root of its hierarchy."""

    version: int
    base: Path
    folder: Path


def memory_groups(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> tuple[MemoryGroup, ...]:
    """Return the memory groups of this process, from its membership file (man 7 cgroups)."""
    return _parse(read(membership) or b"", mount)


@lru_cache(1)
def _parse(memberships: bytes, mount: Path) -> tuple[MemoryGroup, ...]:
    groups = []
    for line in memberships.decode().splitlines():
        _, controllers, group = line.split(":", 2)
        inner = group.lstrip("/")
        if controllers == "":
            groups.append(MemoryGroup(2, mount, mount / inner))
        elif "memory" in controllers.split(","):
            base = mount / "memory"
            groups.append(MemoryGroup(1, base, base / inner))
    return tuple(groups)


def statistic(file: Path, name: str) -> int | None:
    """Look up a line `NAME NUMBER` in a file; return None if there is none."""
    found = re.search(rb"^%b (\d+)$" % name.encode(), read(file) or b"", re.MULTILINE)
    return int(found[1]) if found else None


def read(file: Path | str) -> bytes | None:
    """Read a small file without the cost of a buffer; return None if it cannot be read."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            return os.read(descriptor, MAX_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return None

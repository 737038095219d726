"""Whether a process that was killed was killed for memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from . import probe

# What was free a moment before is less than a process can take between two looks.
NEARLY_FULL_PCT = 90.0


class MemoryWatch:
    """The memory while a job runs: how full it was at worst, and whether the system killed for it."""

    def __init__(self) -> None:
        self._kills = 0
        self._fullest_pct = 0.0

    def begin(self) -> None:
        """Begin anew."""
        self._kills = oom_kills()
        self._fullest_pct = 0.0
        self.look()

    def look(self) -> None:
        """Look at the memory, which takes less than a millisecond."""
        self._fullest_pct = max(self._fullest_pct, probe.memory().used_pct)

    def explains(self, signal: str | None) -> bool:
        """Whether a process that just ended by `signal`, or by none, was killed for memory."""
        return oom_kills() > self._kills or (signal == "SIGKILL" and self._fullest_pct >= NEARLY_FULL_PCT)


def oom_kills(
    membership: Path = Path("/proc/self/cgroup"),
    cgroups: Path = Path("/sys/fs/cgroup"),
    whole_system: Path = Path("/proc/vmstat"),
) -> int:
    """How often Linux has killed for memory: in our control group, or anywhere where that cannot be read; else 0."""
    for file in (*_counters(membership, cgroups), whole_system):
        try:
            found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0


def _counters(membership: Path, cgroups: Path) -> Iterator[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2
            base, name = cgroups, "memory.events"
        elif "memory" in controllers.split(","):
            base, name = cgroups / "memory", "memory.oom_control"
        else:
            continue
        # A container may see its own group at the root.
        yield from (base / group.lstrip("/") / name, base / name)

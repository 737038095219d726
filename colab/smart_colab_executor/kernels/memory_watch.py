"""Detects whether a process was killed for lack of memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

from ..machine import cgroups, probe

# With less memory free, a process can use up the rest between two measurements.
NEARLY_FULL_PCT = 90.0
# Quick jobs in a row share a count.
COUNT_INTERVAL_SEC = 0.5


class MemoryWatch:
    """The peak memory use while a job runs, and the kills by the out-of-memory killer."""

    def __init__(self) -> None:
        self._kills = 0
        self._counted = -math.inf
        self._fullest_pct = 0.0

    def start(self, memory: probe.Memory) -> None:
        """Start a new watch from the given memory."""
        if time.monotonic() - self._counted > COUNT_INTERVAL_SEC:
            self._kills, self._counted = oom_kills(), time.monotonic()
        self._fullest_pct = memory.used_pct

    def measure(self) -> None:
        """Measure the memory; takes less than a millisecond."""
        self._fullest_pct = max(self._fullest_pct, probe.memory().used_pct)

    def is_memory_kill(self, signal: str | None) -> bool:
        """Return whether a process that just ended, by `signal` or none, was killed for lack of memory."""
        return oom_kills() > self._kills or (signal == "SIGKILL" and self._fullest_pct >= NEARLY_FULL_PCT)


def oom_kills(
    membership: Path = cgroups.MEMBERSHIP,
    mount: Path = cgroups.MOUNT,
    whole_system: Path = Path("/proc/vmstat"),
) -> int:
    """Return Linux's count of out-of-memory kills in our control group, else in the whole system, else 0."""
    for file in (*_counters(membership, mount), whole_system):
        count = cgroups.statistic(file, "oom_kill")
        if count is not None:
            return count
    return 0


def _counters(membership: Path, mount: Path) -> Iterator[Path]:
    for group in cgroups.memory_groups(membership, mount):
        name = "memory.events" if group.version == 2 else "memory.oom_control"
        # A container may see its own group at the root.
        yield from (group.folder / name, group.base / name)

"""Whether a process that was killed was killed for memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..machine import cgroups, probe

# What was free a moment before is less than a process can take between two looks.
NEARLY_FULL_PCT = 90.0


class MemoryWatch:
    """The memory while a job runs: how full it was at worst, and whether the system killed for it."""

    def __init__(self) -> None:
        self._kills = 0
        self._fullest_pct = 0.0

    def begin(self, memory: probe.Memory) -> None:
        """Begin anew, with so much memory."""
        self._kills = oom_kills()
        self._fullest_pct = memory.used_pct

    def look(self) -> None:
        """Look at the memory, which takes less than a millisecond."""
        self._fullest_pct = max(self._fullest_pct, probe.memory().used_pct)

    def explains(self, signal: str | None) -> bool:
        """Whether a process that just ended by `signal`, or by none, was killed for memory."""
        return oom_kills() > self._kills or (signal == "SIGKILL" and self._fullest_pct >= NEARLY_FULL_PCT)


def oom_kills(
    membership: Path = cgroups.MEMBERSHIP,
    mount: Path = cgroups.MOUNT,
    whole_system: Path = Path("/proc/vmstat"),
) -> int:
    """How often Linux has killed for memory: in our control group, or anywhere where that cannot be read; else 0."""
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

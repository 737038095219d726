"""What a job does to memory: to the machine's, and to that of its kernel's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..machine import probe

if TYPE_CHECKING:
    from collections.abc import Callable

LOW_MEMORY_PCT = 90.0


class MemoryUse:
    """The memory before a job, compared with what there is after it."""

    def __init__(self) -> None:
        self._before: probe.Memory | None = None
        self._kernel_before_mb: float | None = None
        self._measure: Callable[[], float | None] = lambda: None

    def begin(self, memory: probe.Memory, kernel_memory_mb: Callable[[], float | None]) -> None:
        """Record the machine's memory as the job begins; the function measures the kernel's own."""
        self._before, self._measure, self._kernel_before_mb = memory, kernel_memory_mb, kernel_memory_mb()

    def facts(self) -> dict[str, Any]:
        """Return what a `finished` event says of it, all null where the job has not begun."""
        before, after = self._before, probe.memory() if self._before else None
        kernel_before, kernel_after = self._kernel_before_mb, self._measure()
        return {
            "memory_before_gb": before.available_gb if before else None,
            "memory_after_gb": after.available_gb if after else None,
            "memory_delta_mb": (
                None if kernel_before is None or kernel_after is None else round(kernel_after - kernel_before, 1)
            ),
            "warning": (
                f"{after.used_pct:.0f} % of the memory is used; free some before the next step."
                if after and after.used_pct >= LOW_MEMORY_PCT
                else None
            ),
        }

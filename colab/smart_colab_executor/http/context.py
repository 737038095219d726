"""The dependencies of the routes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..guard.admission import Admission
from ..guard.audit import Audit
from ..guard.policy import Guard
from ..jobs.store import JobStore
from ..machine.endings import Endings
from ..sessions.registry import Sessions


@dataclass(frozen=True)
class Config:
    """The objects and settings that the routes share."""

    admission: Admission
    audit: Audit
    guard: Guard
    root: Path
    state: Path
    jobs: JobStore
    sessions: Sessions
    boot_id: str
    stop: threading.Event
    endings: Endings
    started: float = field(default_factory=time.monotonic)

    @property
    def uptime_minutes(self) -> float:
        """Minutes since the start."""
        return round((time.monotonic() - self.started) / 60, 1)

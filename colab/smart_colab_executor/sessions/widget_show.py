"""What a job shows of its kernel's widgets, and when."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..jobs.job import Job
    from ..kernels.widgets import Message, Widgets

log = logging.getLogger(__name__)

# A changed widget is shown so long after the change, and the more seldom the longer a job shows it.
PAUSE_SEC = 0.5
MAX_PAUSE_SEC = 30.0
PAUSE_GROWTH = 1.01


class WidgetShow:
    """Gives a job, while a step of it runs, what its kernel says, with what the widgets show by now."""

    def __init__(self, widgets: Widgets, job: Job) -> None:
        self._widgets = widgets
        self._job = job
        self._pause = PAUSE_SEC
        self._is_due = self._is_over = False

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Give the job one of the kernel's messages. Raises OSError."""
        for message in self._widgets.take(kind, content):
            self._job.output(*message)
        if self._widgets.are_behind and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(self._pause, self._show)

    def end(self) -> None:
        """Show what is there at the step's end, and keep the state of what changed."""
        self._is_over = True
        self._give(self._widgets.show(is_end=True))
        self._give(self._widgets.states())

    def _show(self) -> None:
        self._is_due = False
        if not (self._is_over or self._job.is_final):
            self._give(self._widgets.show())
            self._pause = min(self._pause * PAUSE_GROWTH, MAX_PAUSE_SEC)

    def _give(self, messages: Iterable[Message]) -> None:
        try:
            for message in messages:
                self._job.output(*message)
        except OSError as error:
            log.warning("job %s: what its widgets show cannot be written down: %s", self._job.id, error)

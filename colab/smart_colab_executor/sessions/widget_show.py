"""Decides when a job shows its kernel's widgets."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..jobs.job import Job
    from ..kernels.widgets import Message, Widgets

log = logging.getLogger(__name__)

# Delay from a widget's change to its update; it grows with each update.
UPDATE_DELAY_SEC = 0.5
MAX_UPDATE_DELAY_SEC = 30.0
UPDATE_DELAY_GROWTH = 1.01


class WidgetShow:
    """Passes a kernel's messages to a job during one of its steps, with updates of the widgets."""

    def __init__(self, widgets: Widgets, job: Job) -> None:
        self._widgets = widgets
        self._job = job
        self._delay = UPDATE_DELAY_SEC
        self._is_due = self._is_over = False

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Pass one of the kernel's messages to the job. Raises OSError."""
        for message in self._widgets.take(kind, content):
            self._job.output(*message)
        if self._widgets.are_behind and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(self._delay, self._show)

    def end(self) -> None:
        """Show the final state of the widgets at the step's end, and keep the changed states."""
        self._is_over = True
        self._give(self._widgets.show(is_end=True))
        self._give(self._widgets.states())

    def _show(self) -> None:
        self._is_due = False
        if not (self._is_over or self._job.is_final):
            self._give(self._widgets.show())
            self._delay = min(self._delay * UPDATE_DELAY_GROWTH, MAX_UPDATE_DELAY_SEC)

    def _give(self, messages: Iterable[Message]) -> None:
        try:
            for message in messages:
                self._job.output(*message)
        except OSError as error:
            log.warning("job %s: its widgets' output cannot be written: %s", self._job.id, error)

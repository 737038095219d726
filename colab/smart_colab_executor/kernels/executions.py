"""One cell that a kernel runs, and the ways in which a kernel fails it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


class KernelDied(Exception):
    """The process is gone, killed or by itself."""


class KernelNotStarted(Exception):
    """No kernel could be started; the message says why."""


class KernelSilent(Exception):
    """The kernel did not answer a request in time (its interpreter may be inside a long C call)."""


class KernelLeft(Exception):
    """The kernel was about to end and took the code no more: it has not run."""


class Execution:
    """One execute_request: gathers its output until the kernel is done with it."""

    def __init__(self, message_id: str, on_output: Callable[[str, Message], None], *, counts: bool) -> None:
        """`counts`: whether it has a number of its own in the kernel's history."""
        self.id = message_id
        self.on_output = on_output
        self.counts = counts
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages = 0
        # Set when nobody waits for more of it.
        self.over = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the kernel has said anything about it."""
        return self.messages > 0

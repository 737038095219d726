"""The execution of one cell, and the failures of a kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


class KernelDied(Exception):
    """The process has ended, killed or by itself."""


class KernelNotStarted(Exception):
    """No kernel could be started; the message gives the reason."""


class KernelSilent(Exception):
    """The kernel did not answer a request in time (its interpreter may be inside a long C call)."""


class KernelLeft(Exception):
    """The kernel was about to exit and refused the code, which has not run."""


class Execution:
    """One execute_request: collects its output until the kernel has finished it."""

    def __init__(self, message_id: str, on_output: Callable[[str, Message], None], *, counts: bool) -> None:
        """Prepare to receive replies; `counts`: whether the kernel numbers it in its history."""
        self.id = message_id
        self.on_output = on_output
        self.counts = counts
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Done when its code starts; `has_begun` is also true of one that the kernel drops.
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages = 0
        # Set when `Kernel.finish` no longer waits for it.
        self.over = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the kernel has sent any message for it."""
        return self.messages > 0

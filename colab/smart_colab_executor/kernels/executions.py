"""The execution of one cell, and the failures of a kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

# execute_reply and idle arrive on two sockets; how long to wait for the second one after the last output.
END_TIMEOUT_SEC = 2.0


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
        # Done with both of them, or some time after one.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The number of messages at the first sign of the end.
        self.messages_at_sign: int | None = None
        self._patience: asyncio.TimerHandle | None = None
        # Done when its code starts; `has_begun` is also true of one that the kernel drops.
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages = 0
        # Set when `Kernel.finish` no longer waits for it.
        self.over = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the kernel has sent any message for it."""
        return self.messages > 0

    def note_reply(self, content: Message) -> None:
        """Note the kernel's reply; later ones have no effect."""
        if not self.reply.done():
            self.reply.set_result(content)
            self._note_sign()

    def note_idle(self) -> None:
        """Note that all output was received."""
        if not self.idle.done():
            self.idle.set_result(None)
            self._note_sign()

    def _note_sign(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._end()
        else:
            self.messages_at_sign = self.messages
            self._patience = asyncio.get_running_loop().call_later(END_TIMEOUT_SEC, self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

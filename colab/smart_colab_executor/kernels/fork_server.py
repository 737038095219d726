"""Our end of the process from which kernels are forked (see fork_server_process): on Linux, where forking is safe.

Importing what a kernel needs takes most of its start; a forked kernel finds it imported. In every other respect such
kernels are like those that are started: they have a session, an environment and a search path of their own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections import deque
from contextlib import suppress
from typing import Any

from ..machine.packages import changed_at
from .bootstrap import loading
from .fork_server_start import Started

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 65_536
# After its imports, a living process answers at once, unless it is stopped or swapped out.
ANSWER_TIMEOUT_SEC = 10.0


class NoForkServer(Exception):
    """The process has ended, could not be started, or does not answer."""


class ForkedProcess:
    """A forked kernel's process."""

    def __init__(self, pid: int, handle: int | None) -> None:
        self.pid = pid
        # The number that the descriptor given to it has there.
        self.handle = handle
        # Its exit code, negative for a signal; None where it is not known.
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()


class ForkServer:
    """The process, for the kernels' thread."""

    def __init__(self, started: Started) -> None:
        self._socket = started.channel
        self._socket.setblocking(False)
        self._is_prepared = False
        self.has_ended = False
        self._is_silent = False
        # In the order of their requests.
        self._asked: deque[asyncio.Future[ForkedProcess]] = deque()
        self._living: dict[int, ForkedProcess] = {}
        self._packages = changed_at()

    @property
    def is_usable(self) -> bool:
        """Whether its kernels are like new ones: it answers, and no package was installed since it imported its own."""
        return not self.has_ended and not self._is_silent and self._packages == changed_at()

    async def fork(self, folder: str, arguments: list[str], descriptor: int | None) -> ForkedProcess:
        """Fork a kernel that starts in `folder`. Raises NoForkServer."""
        message = json.dumps({"folder": folder, "arguments": arguments}).encode()
        try:
            if not self._is_prepared:
                self._prepare()
            socket.send_fds(self._socket, [message], [] if descriptor is None else [descriptor])
        except BlockingIOError as error:
            raise NoForkServer from error
        except OSError as error:
            self._note_end()
            raise NoForkServer from error
        asked: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        if not await self._is_answered(asked):
            asked.cancel()  # a kernel that is forked after all is killed
            raise NoForkServer
        return asked.result()

    async def wait_for_end(self, process: ForkedProcess) -> None:
        """Wait until a killed kernel has ended, if the process tells in time."""
        await self._is_answered(process.ended)

    async def _is_answered(self, answer: asyncio.Future[Any]) -> bool:
        await asyncio.wait((answer,), timeout=ANSWER_TIMEOUT_SEC)
        if not answer.done() and not self._is_silent:
            self._is_silent = True
            log.warning("the process from which kernels are forked does not answer: others are started")
        return answer.done()

    def _prepare(self) -> None:
        self._is_prepared = True
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        script = os.memfd_create("kernel")
        try:
            with os.fdopen(os.dup(script), "w", encoding="ascii") as file:
                file.write(loading())
            socket.send_fds(self._socket, [b"script"], [script])
        finally:
            os.close(script)

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            while not self.has_ended:
                try:
                    message = self._socket.recv(MAX_MESSAGE_BYTES)
                except ConnectionError:
                    message = b""
                if message:
                    self._take(json.loads(message))
                else:
                    self._note_end()

    def _take(self, answer: dict[str, Any]) -> None:
        pid = answer["pid"]
        if "code" not in answer:
            process = self._living[pid] = ForkedProcess(pid, answer["handle"])
            asked = self._asked.popleft()
            if asked.cancelled():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                asked.set_result(process)
        elif (ended := self._living.pop(pid, None)) is not None:
            ended.ended.set_result(answer["code"])

    def _note_end(self) -> None:
        if self.has_ended:
            return
        log.warning("the process from which kernels are forked has ended, and they with it: others are started")
        self.has_ended = True
        asyncio.get_running_loop().remove_reader(self._socket)
        while self._asked:
            if not (asked := self._asked.popleft()).cancelled():
                asked.set_exception(NoForkServer())
        for process in self._living.values():
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.ended.set_result(None)
        self._living.clear()

"""A kernel of someone's Jupyter server, found by its connection file: used, and never ended.

The server's own clients run cells in it, too. Ours wait behind theirs in the kernel's one queue, where those that have
not begun can be withdrawn.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient

from ..in_kernel.messages import MESSAGE_TYPE, USERNAME
from ..machine import probe
from .bootstrap import guest_bootstrap
from .channels import ALIVE_POLL_INTERVAL_SEC, UNBOUNDED, KernelChannels
from .executions import Execution, KernelDied, KernelNotStarted, KernelSilent, Message
from .loop_thread import in_background

CONNECT_TIMEOUT_SEC = 30.0
# How long an interrupted cell of ours is awaited when its session ends.
LEAVE_GRACE_SEC = 3.0
RESEND_DELAY_SEC = 0.05
# A server notices the death of a kernel within three seconds, and then restarts it.
RESTART_PATIENCE_SEC = 5.0
RESTART_POLL_INTERVAL_SEC = 0.25
# The names of sessions in such kernels: with the id that a Jupyter server gives its kernel.
SESSION_NAME = re.compile(r"kernel-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
IS_GONE = (
    "there is no running Jupyter kernel {} on this machine: open its notebook in Jupyter, or start the kernel there"
)


def kernel_of(session: str) -> str | None:
    """Return the id of the Jupyter kernel that a session of this name uses; None for a kernel of our own."""
    match = SESSION_NAME.fullmatch(session)
    return match and match[1]


def connection_file(kernel_id: str, folders: Sequence[Path]) -> Path | None:
    """Return the connection file of a kernel, which may have ended."""
    files = (folder / f"kernel-{kernel_id}.json" for folder in folders)
    return next((file for file in files if file.is_file()), None)


class AdoptedKernel(KernelChannels):
    """A connection to a running Jupyter kernel, for as long as its process lives."""

    is_adopted = True

    def __init__(self, kernel_id: str, folders: Sequence[Path]) -> None:
        # The kernel drops what a slow reader does not take, so the queue is unbounded and emptied to disk.
        super().__init__(UNBOUNDED)
        self._kernel_id = kernel_id
        self._folders = folders
        self._process: psutil.Process | None = None
        self._is_prepared = False
        self._language: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Connect, and wait for the end of the cells that run there now, however long they take.

        Raises KernelNotStarted, also on cancellation.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SEC):
                await self._open()
            await self._prepare()
        except (TimeoutError, KernelSilent) as error:
            await self.discard()
            raise KernelNotStarted(f"the Jupyter kernel {self._kernel_id} does not answer: restart it there") from error
        except (Exception, asyncio.CancelledError) as error:
            await self.discard()
            if isinstance(error, KernelNotStarted):
                raise
            if isinstance(error, KernelDied):
                raise KernelNotStarted(IS_GONE.format(self._kernel_id)) from error
            raise KernelNotStarted(f"{type(error).__name__}: {error}") from error

    def submit(
        self,
        message_id: str,
        code: str,
        on_output: Callable[[str, Message], None],
        memory: probe.Memory,
        loop: dict[str, Any] | None = None,
        *,
        is_repeated: bool = False,
        may_ask: bool = False,
    ) -> Execution:
        """Send a step's code, which waits for its turn in the kernel's queue."""
        if loop is not None:
            self._post("shell", MESSAGE_TYPE, {"operation": "prepare_loop", "message": message_id, **loop})
        return self._execute(code, on_output, message_id, stop_on_error=False, store_history=not is_repeated)

    def look(self) -> None:
        """Notice that the kernel has just been restarted: code sent to it now would be lost."""
        if self._process is not None and not probe.lives(self._process):
            self._note_death()

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in our running cell, and withdraw ours that wait."""
        if self.died.done() or not self._executions:
            return
        try:
            withdrawn = await self.request("interrupt", messages=list(self._executions))
        except (KernelDied, KernelSilent):
            return  # it is handled when the kernel answers again
        for message_id in withdrawn:
            execution = self._executions.get(message_id)
            if execution is not None and not execution.reply.done():
                execution.note_reply({"status": "aborted"})
                execution.note_idle()

    async def _discard(self) -> None:
        """Leave the kernel to its owner: end our cells there, and close the channels."""
        if self._is_prepared and self._executions:
            in_background(self.interrupt())
            ends = [asyncio.ensure_future(execution.over.wait()) for execution in self._executions.values()]
            _, late = await asyncio.wait(ends, timeout=LEAVE_GRACE_SEC)
            for end in late:
                end.cancel()
        self._note_death()
        await self._close_channels()
        self._context.destroy(linger=0)

    async def _open(self) -> None:
        file = connection_file(self._kernel_id, self._folders)
        until = time.monotonic() + RESTART_PATIENCE_SEC
        while file is not None:
            self._process = await asyncio.to_thread(_process_with, file)
            if self._process is not None or time.monotonic() > until:
                break
            await asyncio.sleep(RESTART_POLL_INTERVAL_SEC)
        if file is None or self._process is None:
            raise KernelNotStarted(IS_GONE.format(self._kernel_id))
        self.pid = self._process.pid
        self._tasks.append(asyncio.create_task(self._watch()))
        client = BlockingKernelClient(context=self._context, connection_file=str(file))
        client.load_connection_file()
        client.session.username = f"{USERNAME}{os.getpid()}"
        # Its shell may be busy for hours.
        await self._connect(client, "control")
        language = await self._language
        if language != "python":
            raise KernelNotStarted(
                f"the Jupyter kernel {self._kernel_id} runs {language}, and only Python is supported"
            )

    async def _prepare(self) -> None:
        """Install the guest, without a trace in the namespace or the history."""
        while True:
            reply = await self.finish(
                self._execute(guest_bootstrap(), lambda _kind, _content: None, silent=True, stop_on_error=False)
            )
            if reply is None or reply["status"] != "aborted":
                break
            await asyncio.sleep(RESEND_DELAY_SEC)  # a failed cell of another client's has dropped it
        if reply is None or reply["status"] != "ok":
            why = (reply or {}).get("evalue") or "it sent no reply"
            raise KernelNotStarted(f"code cannot run in the Jupyter kernel {self._kernel_id}: {why}")
        found = await self.request("introduce")
        if self._process is not None and found["pid"] != self._process.pid:  # started by a wrapper
            self._process = psutil.Process(found["pid"])
            self.pid = self._process.pid
        self.id, self.execution_count = found["id"], found["execution_count"]
        self._is_prepared = True

    def _on_reply(self, message: Message) -> None:
        if message["msg_type"] == "kernel_info_reply" and not self._language.done():
            self._language.set_result(str(message["content"].get("language_info", {}).get("name")))
        super()._on_reply(message)

    async def _watch(self) -> None:
        """Note the process's end. A restarted kernel has the same file and another process."""
        while not self.died.done():
            await asyncio.sleep(ALIVE_POLL_INTERVAL_SEC)
            self.look()


def _process_with(connection_file: Path) -> psutil.Process | None:
    """Return the running process that was started with a connection file; the latest, where a wrapper passed it on."""
    found = [
        process
        for process in psutil.process_iter(["cmdline", "create_time"])
        if any(connection_file.name in part for part in process.info["cmdline"] or ()) and probe.lives(process)
    ]
    return max(found, key=lambda process: float(process.info["create_time"]), default=None)

"""A Jupyter kernel of our own: its process, and what it sends beside what every kernel does.

Everything here belongs to the kernels' thread (see loop_thread); nothing blocks it for long.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..in_kernel.messages import COMPLETE, EXIT_TYPE, LEAVING_TYPE, LOOP, MAY_ASK, MESSAGE_TYPE, POSITION
from ..machine import probe
from . import connections
from .bootstrap import bootstrap
from .channels import ALIVE_POLL_INTERVAL_SEC, KernelChannels
from .executions import Execution, KernelDied, KernelNotStarted, KernelSilent, Message
from .fork_server import ForkServer
from .leftovers import KernelNotes
from .memory_watch import MemoryWatch
from .processes import new_process
from .remains import Remains
from .workspace import NoWorkspace, Workspace

log = logging.getLogger(__name__)

START_TIMEOUT_SEC = 90.0
WIND_UP_TIMEOUT_SEC = 3.0
# The kernel never drops output (see kernel_output), so a short queue slows it down; an unbounded one would fill our
# memory.
RECEIVE_QUEUE_MESSAGES = 100
# From `google.colab`, for the page of the notebook (userdata, auth, drive.mount …).
COLAB_REQUEST_TYPE = "colab_request"
NO_PAGE = (
    "only Colab's own page can answer this, and no page sees this kernel: bring the secret or file here in another way "
    "(an upload, os.environ), or run it in a cell of a notebook that is open in Colab"
)


class Kernel(KernelChannels):
    """A running kernel of our own."""

    is_adopted = False

    def __init__(
        self,
        workspace: Workspace,
        notes: KernelNotes,
        folder: str | None = None,
        fork_server: ForkServer | None = None,
    ) -> None:
        """Prepare to start it in `folder`, or else in the workspace."""
        super().__init__(RECEIVE_QUEUE_MESSAGES)
        self._workspace = workspace
        self._folder = folder
        self._notes = notes
        self._memory = MemoryWatch()
        self._was_killed = False
        self._sockets = connections.make_folder()
        self._process = new_process(self._sockets, fork_server)
        self._last_words = Remains(notes.journal(self.id))

    async def start(self) -> None:
        """Start the process and prepare it.

        Raises KernelNotStarted, also on cancellation, and then leaves no process.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_SEC):
                await self._launch()
                await self._connect(self._process.client(self._context), "shell")
                await self._prepare()
        except (Exception, asyncio.CancelledError) as error:
            await self.discard()
            why = str(error) if isinstance(error, NoWorkspace) else f"{type(error).__name__}: {error}"
            raise KernelNotStarted(why) from error

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
        """Send a step's code, before which the folder for it exists."""
        self._memory.start(memory)
        with suppress(NoWorkspace):  # a running kernel can do without
            self._workspace.ensure_exists()
        # stop_on_error would make the kernel drop the requests that follow; here every job is independent.
        options = {"stop_on_error": False, "store_history": not is_repeated, MAY_ASK: may_ask, LOOP: loop}
        return self._execute(code, on_output, message_id, **options)

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running code."""
        if not self.died.done():
            await self._process.interrupt()
            self._post("control", MESSAGE_TYPE, {"operation": "ensure_interrupt"})

    async def wind_up(self) -> None:
        """Let it run its exit functions and write its open files' buffers, at most WIND_UP_TIMEOUT_SEC."""
        if self.pid is None or self._executions or self.died.done():
            return
        try:
            await self.request("wind_up", channel="shell", patience=WIND_UP_TIMEOUT_SEC)
        except KernelSilent as error:
            log.warning("kernel %s is killed before its exit functions have ended: %s", self.id, error)
        except KernelDied:
            pass

    async def _discard(self) -> None:
        """Kill the process and its children, and close the channels."""
        self._was_killed = True
        with suppress(OSError, RuntimeError):
            await self._process.kill()
            self._notes.remove(self.id)
        self._note_death()
        await self._close_channels()
        self._report_last_words()
        self._last_words.remove()
        self._context.destroy(linger=0)
        if self._sockets is not None:
            connections.remove_folder(self._sockets)

    async def _launch(self) -> None:
        self._workspace.ensure_exists()
        # In a thread, so that a slow disk delays no other kernel.
        creating = asyncio.ensure_future(asyncio.to_thread(self._last_words.create))
        try:
            await asyncio.shield(creating)
        except OSError as error:
            log.warning("kernel %s has no journal: %s", self.id, error)
            self._last_words.remove()
        finally:
            # Also on cancellation: a file that does not exist yet cannot be removed.
            await asyncio.wait({creating})
        self.record_process(None)
        process = self._process
        await process.start(self._workspace.start_in(self._folder), self._last_words.open_channel())
        self._tasks.append(asyncio.create_task(self._watch(process.ended)))
        self.pid = process.pid
        self.record_process(process.pid)

    def restore_record(self) -> None:
        """Restore the record if it was removed."""
        if self.pid is not None and not self._notes.has(self.id):
            self.record_process(self.pid)

    def record_process(self, pid: int | None) -> None:
        """Record the process, so that the next executor can end it if it outlives this one."""
        try:
            self._notes.add(self.id, pid, self._sockets)
        except OSError as error:
            log.warning("kernel %s cannot be recorded: %s", self.id, error)

    async def _prepare(self) -> None:
        """Install kernel_side, without a trace in the namespace or the history."""
        # Not as a cell, whose text ipykernel hashes in Python: that takes longer than running it.
        ours = {"bootstrap": bootstrap(is_loaded=self._process.is_loaded)}
        reply = await self.finish(self._execute("", lambda _kind, _content: None, silent=True, user_expressions=ours))
        result = (reply or {}).get("user_expressions", {}).get("bootstrap", {})
        if result.get("status") != "ok":
            raise RuntimeError(f"preparing the kernel failed: {result.get('evalue')}")
        handed = {"journal": str(self._last_words.path), "handle": self._process.handle}
        await self.request("guard_output", channel="shell", patience=START_TIMEOUT_SEC, **handed)

    async def _watch(self, ended: asyncio.Future[int | None]) -> None:
        while not ended.done():
            if self._executions:
                self._memory.measure()
            await asyncio.wait((ended,), timeout=ALIVE_POLL_INTERVAL_SEC)
        code = ended.result()
        if code is not None and not self._was_killed:
            killer = _signal_name(-code) if code < 0 else None
            self.exit = {
                "signal": killer,
                "code": None if killer else code,
                "out_of_memory": self._memory.is_memory_kill(killer),
            }
        elif code is None and self._process.is_orphaned:
            out_of_memory = self._memory.is_memory_kill(None)
            self.exit = {"signal": None, "code": None, "out_of_memory": out_of_memory, "orphaned": True}
        self._note_death()
        if not self._executions:
            await asyncio.sleep(ALIVE_POLL_INTERVAL_SEC)  # for messages in flight
            self._report_last_words()

    def _report_last_words(self) -> None:
        """Report printed output that was never received; the process has ended and sends no more."""
        try:
            for key, text in self._last_words.take_unreceived():
                name, _, parent = key.partition(" ")
                if (execution := self._execution(parent)) is not None:
                    execution.on_output("stream", {"name": name, "text": text})
            self._last_words.mark_reported()
        except OSError as error:
            log.warning("kernel %s: its journal cannot be read: %s", self.id, error)

    def _on_iopub(self, message: Message) -> None:
        kind, content = message["msg_type"], message["content"]
        self._heard.set()
        if kind == LEAVING_TYPE:
            self._post("control", MESSAGE_TYPE, {"operation": "acknowledge_leaving"})
        elif kind == EXIT_TYPE:
            self._note_exit(is_final=content["final"])
        elif kind == COLAB_REQUEST_TYPE:
            # Its code waits for the answer, whatever it is.
            reply = {"type": "colab_reply", "colab_msg_id": message["metadata"].get("colab_msg_id"), "error": NO_PAGE}
            self._post("stdin", "input_reply", {"value": reply})
        parent = message["parent_header"].get("msg_id")
        position = message["metadata"].get(POSITION)
        if position is None:
            self._pass_on(kind, content, parent)
        elif not self._last_words.has_reported(position):
            self._pass_on(kind, content, parent)
            # Only now: acknowledged output is stored with its job, should the next executor read the journal.
            self._last_words.acknowledge(f"{content['name']} {parent}", position, message["metadata"][COMPLETE])

    def _note_exit(self, *, is_final: bool) -> None:
        if not self.leaves.done():
            self.leaves.set_result(None)
        for execution in self._executions.values():
            if is_final and not execution.has_begun:
                execution.note_reply({"status": "aborted"})
                execution.note_idle()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the nameless real-time signals
        return str(number)

"""The channels of one Jupyter kernel, and the messages on them: what kernels of our own and of others share.

Everything here belongs to the kernels' thread (see loop_thread); nothing blocks it for long.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.session import Session

from ..in_kernel.message_ids import job_of
from ..in_kernel.messages import MESSAGE_TYPE
from ..machine import probe
from .executions import END_TIMEOUT_SEC, Execution, KernelDied, KernelSilent, Message
from .ports import Port
from .widgets import Widgets

log = logging.getLogger(__name__)

ALIVE_POLL_INTERVAL_SEC = 0.25
FIRST_MESSAGE_POLL_INTERVAL_SEC = 0.1
# A kernel listens a moment after it has started.
RECONNECT_INTERVAL_MS = 5
UNBOUNDED = 0
# A child process may outlive its job by many others; an entry is small.
MAX_ENDED_REMEMBERED = 10_000


class KernelChannels:
    """A running kernel. `id` is new for every process: same id, same variables."""

    # Whether the process belongs to a Jupyter server, and others run code in it.
    is_adopted: ClassVar[bool]

    def __init__(self, receive_queue_messages: int) -> None:
        self.id = str(uuid.uuid4())
        self.execution_count = 0
        self.pid: int | None = None
        # Waiting for a future needs no task.
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Set when its own code asked it to exit: it runs no more code and has to be killed.
        self.leaves: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # How the process ended by itself, as `kernel_exit` of the API.
        self.exit: dict[str, Any] | None = None
        self.widgets = Widgets()
        self._context = zmq.Context()
        self._context.rcvhwm = receive_queue_messages
        self._context.sndhwm = UNBOUNDED
        self._context.reconnect_ivl = RECONNECT_INTERVAL_MS
        self._session: Session | None = None
        self._ports: dict[str, Port] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._executions: dict[str, Execution] = {}
        # The last one of each job, whose threads and child processes may still print.
        self._ended: OrderedDict[str, Execution] = OrderedDict()
        self._requests: dict[str, asyncio.Future[Message]] = {}
        self._discarding: asyncio.Future[None] | None = None
        self._heard = asyncio.Event()

    async def start(self) -> None:
        """Make the kernel ready to run code. Raises KernelNotStarted, also on cancellation."""
        raise NotImplementedError

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
        """Send a step's code; `on_output(kind, content)` is called with each of its iopub messages, in order.

        `memory`: measured just before. The message's id names the job, so that the journal refers to the job.
        `is_repeated`: the code is already in the kernel's history, which would otherwise grow with every step.
        `may_ask`: its `input()` asks; a kernel that is not our own never does.
        """
        raise NotImplementedError

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running code."""
        raise NotImplementedError

    async def discard(self) -> None:
        """Close the channels, and kill a process of our own; concurrent calls share it."""
        if self._discarding is None:
            self._discarding = asyncio.ensure_future(self._discard())
        await asyncio.shield(self._discarding)

    async def _discard(self) -> None:
        raise NotImplementedError

    async def wind_up(self) -> None:
        """Let an idle kernel of our own do what Python does at a script's end, before it is discarded."""

    def look(self) -> None:
        """Notice a death that has just happened."""

    def restore_record(self) -> None:
        """Restore a removed record of the process."""

    def memory_mb(self) -> float | None:
        """Measure the resident memory of the process alone; None where it is gone."""
        return None if self.pid is None or self.died.done() else probe.own_memory_mb(self.pid)

    async def wait(self, execution: Execution, timeout_sec: float | None = None) -> bool:
        """Wait for the cell's end or the kernel's, at most `timeout_sec`; return whether there was one."""
        if not (execution.ended.done() or self.died.done()):
            ends = (self.died, execution.ended)
            await asyncio.wait(ends, timeout=timeout_sec, return_when=asyncio.FIRST_COMPLETED)
        return execution.ended.done() or self.died.done()

    async def finish(self, execution: Execution) -> Message | None:
        """Wait for the end; return the reply's content, or None if there was none. Raises KernelDied."""
        try:
            await self.wait(execution)
            heard = None if self.died.done() else execution.messages_at_sign
            # Messages in flight at the first sign of the end are received for as long as they keep arriving.
            while not (execution.idle.done() and execution.reply.done()) and execution.messages != heard:
                heard = execution.messages
                grace = ALIVE_POLL_INTERVAL_SEC if self.died.done() else END_TIMEOUT_SEC
                await asyncio.wait((execution.idle, execution.reply), timeout=grace)
            if self.died.done():
                self._report_last_words()
        finally:
            execution.over.set()
            del self._executions[execution.id]
            job_id = job_of(execution.id)
            self._ended[job_id] = execution
            self._ended.move_to_end(job_id)
            if len(self._ended) > MAX_ENDED_REMEMBERED:
                self._ended.popitem(last=False)
        if execution.reply.done():
            return execution.reply.result()
        if self.died.done():
            raise KernelDied
        return None

    async def request(
        self, operation: str, *, channel: str = "control", patience: float = 10.0, **arguments: Any
    ) -> Any:
        """Send a request to kernel_side, and wait up to `patience` seconds for the answer.

        On the control channel it is answered while code runs. Raises KernelDied, KernelSilent.
        """
        message_id = self._post(channel, MESSAGE_TYPE, {"operation": operation, **arguments})
        answer = self._requests[message_id] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((answer, self.died), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._requests[message_id]
        if not answer.done():
            raise KernelDied if self.died.done() else KernelSilent
        content = answer.result()
        if not content.get("ok"):
            raise KernelSilent(content.get("error"))
        return content["value"]

    async def _connect(self, client: BlockingKernelClient, channel: str) -> None:
        """Open the channels, and wait until messages are received; the first requests go to `channel`."""
        session = self._session = client.session
        identity = session.bsession
        for name, opened, handle in (
            ("shell", client.connect_shell(identity), self._on_reply),
            ("control", client.connect_control(identity), self._on_reply),
            ("stdin", client.connect_stdin(identity), self._on_reply),
            ("iopub", client.connect_iopub(), self._on_iopub),
        ):
            self._ports[name] = Port(opened, session, handle)
        # A subscription takes a moment; until a message is received, output would be missed.
        while not self._heard.is_set():
            self._post(channel, "kernel_info_request", {})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), FIRST_MESSAGE_POLL_INTERVAL_SEC)
            if self.died.done():
                raise KernelDied("the process ended while it started")

    async def _close_channels(self) -> None:
        """Close the channels of a kernel that is noted as dead."""
        # A waiting `finish` first receives the messages in flight.
        for execution in list(self._executions.values()):
            await execution.over.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for port in self._ports.values():
            port.close()

    def _execute(
        self, code: str, on_output: Callable[[str, Message], None], message_id: str | None = None, **options: Any
    ) -> Execution:
        counts = options.setdefault("store_history", not options.get("silent", False))
        content = {"code": code, "silent": False, "user_expressions": {}, "allow_stdin": False, **options}
        execution = Execution(self._post("shell", "execute_request", content, message_id), on_output, counts=counts)
        self._executions[execution.id] = execution
        return execution

    def _note_death(self) -> None:
        if not self.died.done():
            self.died.set_result(None)

    def _report_last_words(self) -> None:
        """Report printed output that was never received, where there is a journal of it; the process has ended."""

    def _post(self, channel: str, kind: str, content: Message, message_id: str | None = None) -> str:
        """Send a message, under a new id if none is given; return the id."""
        session = self._session
        if session is None:
            raise KernelDied("it has not started")
        message_id = message_id or str(session.msg_id)
        self._ports[channel].send(kind, content, message_id)
        return message_id

    def _on_reply(self, message: Message) -> None:
        parent = message["parent_header"].get("msg_id")
        if (request := self._requests.get(parent)) is not None and not request.done():
            request.set_result(message["content"])
        execution = self._executions.get(parent)
        if execution is not None and message["msg_type"] == "execute_reply":
            execution.note_reply(message["content"])

    def _on_iopub(self, message: Message) -> None:
        self._heard.set()
        self._pass_on(message["msg_type"], message["content"], message["parent_header"].get("msg_id"))

    def _execution(self, message_id: str | None) -> Execution | None:
        """Return the execution that a message belongs to, by its parent: the running one or the latest of its job."""
        if message_id is None:
            return None
        return self._executions.get(message_id) or self._ended.get(job_of(message_id))

    def _pass_on(self, kind: str, content: Message, parent: str | None) -> None:
        execution = self._execution(parent)
        if execution is None:
            return
        execution.messages += 1
        if kind == "status":
            if content["execution_state"] == "idle":
                execution.note_idle()
            return
        if kind == "execute_input":
            if not execution.begun.done():
                execution.begun.set_result(None)
            if execution.counts:
                self.execution_count = content["execution_count"]
        execution.on_output(kind, content)

"""One Jupyter kernel: its process, its channels, and the messages on them.

Everything here belongs to the kernels' thread (see loop_thread); nothing blocks it for long.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.session import Session

from ..in_kernel.kernel_output import COMPLETE, LEAVING_TYPE, POSITION
from ..in_kernel.kernel_side import MESSAGE_TYPE
from ..in_kernel.leaving import EXIT_TYPE
from ..in_kernel.message_ids import job_of
from ..machine import probe
from . import connections
from .bootstrap import bootstrap
from .executions import Execution, KernelDied, KernelNotStarted, KernelSilent, Message
from .leftovers import KernelNotes
from .loop_thread import in_background
from .memory_watch import MemoryWatch
from .remains import Remains
from .widgets import Widgets
from .workspace import NoWorkspace, Workspace

log = logging.getLogger(__name__)

START_TIMEOUT_SEC = 90.0
ALIVE_POLL_INTERVAL_SEC = 0.25
# execute_reply and idle arrive on two sockets; how long to wait for the second one after the last output.
END_TIMEOUT_SEC = 2.0
# The kernel never drops output (see kernel_output), so a short queue slows it down; an unbounded one would fill our
# memory.
RECEIVE_QUEUE_MESSAGES = 100
# A child process may outlive its job by many others; an entry is small.
MAX_ENDED_REMEMBERED = 10_000
SECRET_VARIABLES = ("SMART_COLAB_TOKEN",)


class Kernel:
    """A running kernel. `id` is new for every process: same id, same variables."""

    def __init__(self, workspace: Workspace, notes: KernelNotes, folder: str | None = None) -> None:
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
        self._workspace = workspace
        self._folder = folder
        self._notes = notes
        self._memory = MemoryWatch()
        self._was_killed = False
        self._killing: asyncio.Future[None] | None = None
        self._context = zmq.asyncio.Context()
        self._context.rcvhwm = RECEIVE_QUEUE_MESSAGES
        self._sockets = connections.make_folder()
        self._manager = connections.kernel_manager(self._sockets)
        self._client: AsyncKernelClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._executions: dict[str, Execution] = {}
        # The last one of each job, whose threads and child processes may still print.
        self._ended: OrderedDict[str, Execution] = OrderedDict()
        self._requests: dict[str, asyncio.Future[Message]] = {}
        self._last_words = Remains(notes.journal(self.id))
        self._heard = asyncio.Event()

    def memory_mb(self) -> float | None:
        """Measure the resident memory of the process alone; None where it is gone."""
        return None if self.pid is None or self.died.done() else probe.own_memory_mb(self.pid)

    async def start(self) -> None:
        """Start the process and prepare it.

        Raises KernelNotStarted, also on cancellation, and then leaves no process.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_SEC):
                await self._launch()
                await self._connect()
                await self._prepare()
        except (Exception, asyncio.CancelledError) as error:
            await self.kill()
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
    ) -> Execution:
        """Send a step's code; `on_output(kind, content)` is called with each of its iopub messages, in order.

        `memory`: measured just before. The message's id names the job, so that the journal refers to the job.
        `is_repeated`: the code is already in the kernel's history, which would otherwise grow with every step.
        """
        self._memory.start(memory)
        with suppress(NoWorkspace):  # a running kernel can do without
            self._workspace.ensure_exists()
        if loop is not None:
            # Same channel, so it is handled before the cell.
            self._post("shell", MESSAGE_TYPE, {"operation": "prepare_loop", **loop})
        # stop_on_error would make the kernel drop the requests that follow; here every job is independent.
        return self._execute(code, on_output, message_id, stop_on_error=False, store_history=not is_repeated)

    async def finish(self, execution: Execution) -> Message | None:
        """Wait for the end; return the reply's content, or None if there was none. Raises KernelDied."""
        try:
            await asyncio.wait((self.died, execution.idle, execution.reply), return_when=asyncio.FIRST_COMPLETED)
            while not (execution.idle.done() and execution.reply.done()):
                # Messages in flight at the first sign of the end are received for as long as they keep arriving.
                grace = ALIVE_POLL_INTERVAL_SEC if self.died.done() else END_TIMEOUT_SEC
                heard = execution.messages
                await asyncio.wait((execution.idle, execution.reply), timeout=grace)
                if execution.messages == heard:
                    break
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

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running code."""
        if not self.died.done():
            await self._manager.interrupt_kernel()
            self._post("control", MESSAGE_TYPE, {"operation": "ensure_interrupt"})

    async def kill(self) -> None:
        """Kill the process and its children, and close the channels; concurrent calls share one kill."""
        if self._killing is None:
            self._killing = asyncio.ensure_future(self._kill())
        await asyncio.shield(self._killing)

    async def _kill(self) -> None:
        self._was_killed = True
        with suppress(OSError, RuntimeError):
            if self._manager.provisioner is not None:  # a process was started
                await self._manager.shutdown_kernel(now=True)
            self._notes.remove(self.id)
        self._note_death()
        # A waiting `finish` first receives the messages in flight.
        for execution in list(self._executions.values()):
            await execution.over.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            self._client.stop_channels()
        self._report_last_words()
        self._last_words.remove()
        self._context.destroy(linger=0)
        self._manager.context.destroy(linger=0)
        if self._sockets is not None:
            connections.remove_folder(self._sockets)

    async def _launch(self) -> None:
        self._workspace.ensure_exists()
        environment = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
        # Figures are output, whatever matplotlib's default on this machine.
        environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
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
        # Output on file descriptors is captured in the kernel; our own stdout is reserved for the ready line.
        await self._manager.start_kernel(
            cwd=self._workspace.start_in(self._folder),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._last_words.open_channel(),
        )
        self._tasks.append(asyncio.create_task(self._watch()))
        process: Any = self._manager.provisioner
        self.pid = process.pid
        self.record_process(process.pid)

    def record_process(self, pid: int | None) -> None:
        """Record the process, so that the next executor can end it if it outlives this one."""
        try:
            self._notes.add(self.id, pid, self._sockets)
        except OSError as error:
            log.warning("kernel %s cannot be recorded: %s", self.id, error)

    async def _connect(self) -> None:
        client = self._manager.client(context=self._context)
        client.start_channels(stdin=False, hb=False)
        self._client = client
        for channel, handle in (
            (client.shell_channel, self._on_reply),
            (client.control_channel, self._on_reply),
            (client.iopub_channel, self._on_iopub),
        ):
            self._tasks.append(asyncio.create_task(_pump(channel.socket, client.session, handle)))
        # A subscription takes a moment; until a status is received, output would be missed.
        while not self._heard.is_set():
            self._post("shell", "kernel_info_request", {})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), 0.5)
            if self.died.done():
                raise KernelDied("the process ended while it started")

    async def _prepare(self) -> None:
        """Install kernel_side, without a trace in the namespace or the history."""
        # Not as a cell, whose text ipykernel hashes in Python: that takes longer than running it.
        ours = {"bootstrap": bootstrap()}
        reply = await self.finish(self._execute("", lambda _kind, _content: None, silent=True, user_expressions=ours))
        result = (reply or {}).get("user_expressions", {}).get("bootstrap", {})
        if result.get("status") != "ok":
            raise RuntimeError(f"preparing the kernel failed: {result.get('evalue')}")
        handed = {"journal": str(self._last_words.path), "handle": self._last_words.handle}
        await self.request("guard_output", channel="shell", patience=START_TIMEOUT_SEC, **handed)

    def _execute(
        self, code: str, on_output: Callable[[str, Message], None], message_id: str | None = None, **options: Any
    ) -> Execution:
        counts = options.setdefault("store_history", not options.get("silent", False))
        content = {"code": code, "silent": False, "user_expressions": {}, "allow_stdin": False, **options}
        execution = Execution(self._post("shell", "execute_request", content, message_id), on_output, counts=counts)
        self._executions[execution.id] = execution
        return execution

    async def _watch(self) -> None:
        process: Any = self._manager.provisioner
        while (code := await process.poll()) is None:
            if self._executions:
                self._memory.measure()
            await asyncio.sleep(ALIVE_POLL_INTERVAL_SEC)  # a process has no event to wait for
        if not self._was_killed:
            killer = _signal_name(-code) if code < 0 else None
            self.exit = {
                "signal": killer,
                "code": None if killer else code,
                "out_of_memory": self._memory.is_memory_kill(killer),
            }
        self._note_death()
        if not self._executions:
            await asyncio.sleep(ALIVE_POLL_INTERVAL_SEC)  # for messages in flight
            self._report_last_words()

    def _note_death(self) -> None:
        if not self.died.done():
            self.died.set_result(None)

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

    def _post(self, channel: str, kind: str, content: Message, message_id: str | None = None) -> str:
        """Send a message, under a new id if none is given; return the id.

        Not by the client's own methods: they bypass the asyncio socket, which then misses the reply.
        """
        if self._client is None:
            raise KernelDied("it has not started")
        session = self._client.session
        header = session.msg_header(kind)
        header["msg_id"] = message_id or header["msg_id"]
        message = session.msg(kind, content, header=header)
        sent = getattr(self._client, f"{channel}_channel").socket.send_multipart(session.serialize(message))
        if not sent.done():
            in_background(sent)
        return str(message["header"]["msg_id"])

    def _on_reply(self, message: Message) -> None:
        parent = message["parent_header"].get("msg_id")
        if (request := self._requests.get(parent)) is not None and not request.done():
            request.set_result(message["content"])
        execution = self._executions.get(parent)
        if execution is not None and message["msg_type"] == "execute_reply" and not execution.reply.done():
            execution.reply.set_result(message["content"])

    def _on_iopub(self, message: Message) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            self._heard.set()
        elif kind == LEAVING_TYPE:
            self._post("control", MESSAGE_TYPE, {"operation": "acknowledge_leaving"})
        elif kind == EXIT_TYPE:
            self._note_exit(is_final=content["final"])
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
                execution.reply.set_result({"status": "aborted"})
                execution.idle.set_result(None)

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
            if content["execution_state"] == "idle" and not execution.idle.done():
                execution.idle.set_result(None)
            return
        if kind == "execute_input" and execution.counts:
            self.execution_count = content["execution_count"]
        execution.on_output(kind, content)


async def _pump(socket: zmq.asyncio.Socket, session: Session, handle: Callable[[Message], None]) -> None:
    while True:
        frames = await socket.recv_multipart()
        try:
            _, parts = session.feed_identities(frames)
            handle(session.deserialize(parts))
        except Exception:  # one bad message must not end the pump
            log.exception("a kernel's message could not be handled")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the nameless real-time signals
        return str(number)

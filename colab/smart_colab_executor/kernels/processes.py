"""The process of a kernel of our own: forked where that is possible, or else started. For the kernels' thread only."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from . import connections
from .environment import environment
from .fork_server import ForkedProcess, ForkServer, NoForkServer

EXIT_POLL_INTERVAL_SEC = 0.25


class KernelProcess:
    """A kernel's process, which may not be started yet."""

    # Whether the in-kernel part of this package is loaded in it.
    is_loaded: ClassVar[bool]
    # Whether the process that it was forked from has ended, upon which it was killed.
    is_orphaned = False
    # What `start` sets: its pid; the number that the descriptor given to it has there; and, at its end, its exit code,
    # negative for a signal, or None where it is not known.
    pid: int
    handle: int | None
    ended: asyncio.Future[int | None]

    async def start(self, folder: str, descriptor: int | None) -> None:
        """Start it in `folder`. Raises an exception of any kind."""
        raise NotImplementedError

    def client(self, context: zmq.Context[zmq.Socket[bytes]]) -> BlockingKernelClient:
        """Return a client for its connection."""
        raise NotImplementedError

    async def interrupt(self) -> None:
        """Interrupt it, and its children."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Kill it and its children, if it was started, and wait for its end. Raises OSError, RuntimeError."""
        raise NotImplementedError


def new_process(sockets: Path | None, fork_server: ForkServer | None) -> KernelProcess:
    """Prepare a kernel's process, with its sockets in a folder or, for None, on TCP."""
    if sockets is None or fork_server is None or not fork_server.is_usable:
        return _Started(sockets)
    return _Forked(sockets, fork_server)


class _Started(KernelProcess):
    is_loaded = False

    def __init__(self, sockets: Path | None) -> None:
        self._manager = connections.kernel_manager(sockets)
        self._watching: asyncio.Task[None] | None = None

    async def start(self, folder: str, descriptor: int | None) -> None:
        self.handle = descriptor
        await self._manager.start_kernel(
            cwd=folder,
            env=environment(),
            # Output on file descriptors is captured in the kernel; our own stdout is reserved for the ready line.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **({} if descriptor is None else {"pass_fds": (descriptor,)}),
        )
        process: Any = self._manager.provisioner
        self.pid = process.pid
        self.ended = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(process))

    def client(self, context: zmq.Context[zmq.Socket[bytes]]) -> BlockingKernelClient:
        client = BlockingKernelClient(context=context, connection_file=self._manager.connection_file)
        client.load_connection_file()
        return client

    async def interrupt(self) -> None:
        await self._manager.interrupt_kernel()

    async def kill(self) -> None:
        try:
            if self._manager.provisioner is not None:
                await self._manager.shutdown_kernel(now=True)
        finally:
            self._manager.context.destroy(linger=0)
            if self._watching is not None:
                self._watching.cancel()
                if not self.ended.done():
                    self.ended.set_result(None)

    async def _watch(self, process: Any) -> None:
        while not self.ended.done():  # a process has no event to wait for
            code: int | None = await process.poll()
            if code is not None:
                self.ended.set_result(code)
            else:
                await asyncio.sleep(EXIT_POLL_INTERVAL_SEC)


class _Forked(KernelProcess):
    is_loaded = True

    def __init__(self, sockets: Path, server: ForkServer) -> None:
        self._sockets = sockets
        self._server = server
        self._forking: asyncio.Future[ForkedProcess] | None = None

    @property
    def is_orphaned(self) -> bool:  # type: ignore[override]
        return self._server.has_ended

    async def start(self, folder: str, descriptor: int | None) -> None:
        file = self._sockets / connections.CONNECTION_FILE
        write_connection_file(
            str(file), transport="ipc", ip=str(self._sockets / connections.SOCKETS), key=os.urandom(32).hex().encode()
        )
        arguments = ["-f", str(file), *connections.KERNEL_OPTIONS]
        self._forking = asyncio.ensure_future(self._server.fork(folder, arguments, descriptor))
        # Shielded, because after a cancellation it has to be killed.
        process = await asyncio.shield(self._forking)
        self.pid, self.handle, self.ended = process.pid, process.handle, process.ended

    def client(self, context: zmq.Context[zmq.Socket[bytes]]) -> BlockingKernelClient:
        client = BlockingKernelClient(context=context, connection_file=str(self._sockets / connections.CONNECTION_FILE))
        client.load_connection_file()
        return client

    async def interrupt(self) -> None:
        self._signal(signal.SIGINT)

    async def kill(self) -> None:
        if self._forking is None:
            return
        with suppress(NoForkServer):
            process = await self._forking
            self.pid = process.pid
            self._signal(signal.SIGKILL)
            await self._server.wait_for_end(process)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has no group yet, or has ended
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

"""Captures output of children and C code: file descriptors 1 and 2 are pipes, a pair for each cell.

Runs in the kernel, as `_smart_colab.descriptors`, except on Windows; standard library only. A child that outlives its
cell keeps that cell's pipes, so its later output is still attributed to that cell. The kernel reads them, since only
it knows what Python printed in between. The executor holds a second read end of each, and reads the rest when the
kernel has ended.
"""

from __future__ import annotations

import ctypes
import multiprocessing.process
import os
import selectors
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from . import children, pools
from .forks import write_text
from .journal import LANDING_BYTES
from .origins import Source, current
from .pipes import Pipe, PoolPipe, identity, pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .kernel_output import Output

STDIN, STDOUT, STDERR = 0, 1, 2
POLLIN = 1
C_BUFFER_BYTES = 4096
LINE_BUFFERED = 1  # _IOLBF of every C library here
# How long a print waits until earlier writes have been read; usually less than a millisecond.
SETTLE_TIMEOUT_SEC = 10.0
CLOSEFD_POSITION = 5  # in the arguments of `open` after the mode, from 1
SEND_TIMEOUT_SEC = 1.0


class Descriptors:
    """Descriptors 1 and 2 of this kernel, and the output written to them."""

    def __init__(self, output: Output, streams: tuple[Any, Any], channel: int | None) -> None:
        self._output = output
        self._streams = dict(zip((STDOUT, STDERR), streams, strict=True))
        self._kernel = os.getpid()
        self._channel = None
        if channel is not None:
            os.set_inheritable(channel, False)
            self._channel = socket.socket(fileno=channel)
            self._channel.settimeout(SEND_TIMEOUT_SEC)
        # Both keep the GIL: that costs less than to give it up and to wait for it.
        python = ctypes.PyDLL(None)
        self._poll, self._read = python.poll, python.read
        self._read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
        self._read.restype = ctypes.c_ssize_t
        self._c = ctypes.CDLL(None)
        self._c_stdout = ctypes.c_void_p.in_dll(self._c, "__stdoutp" if sys.platform == "darwin" else "stdout")
        # If Python is unbuffered so is C, which then writes its lines in pieces without this buffer.
        self._c_buffer = ctypes.create_string_buffer(C_BUFFER_BYTES)
        self._c.setvbuf(self._c_stdout, self._c_buffer, LINE_BUFFERED, ctypes.c_size_t(C_BUFFER_BYTES))
        # Python children would buffer their output until they end, and pool workers do not end.
        os.environ.setdefault("PYTHONUNBUFFERED", "1")
        # The descriptor whose pipe each one leads to: its own, the other's, or None (a file, for example).
        self._targets: dict[int, int | None] = {STDOUT: STDOUT, STDERR: STDERR}
        self._ways_back: dict[int, Pipe] = {}
        self._pipes: dict[int, Pipe] = {}
        self._pool_pipes: dict[int, Pipe] = {}
        # The pipes of earlier cells whose code has started a process during this cell, by the cell's id.
        self._earlier: dict[str, dict[int, Pipe]] = {}
        self._earlier_lock = threading.RLock()
        self._header: dict[str, Any] = {}
        self._open: dict[tuple[int, int] | None, Pipe] = {}
        self._selector = selectors.DefaultSelector()
        self._is_reading = False
        self._round = threading.Condition()
        self._dup2, self._close_any, self._closerange, self._fdopen = os.dup2, os.close, os.closerange, os.fdopen
        os.dup2, os.close = self._replace_dup2, self._replace_close
        os.closerange, os.fdopen = self._replace_closerange, self._replace_fdopen
        for descriptor, stream in self._streams.items():
            _stop_watching(stream, descriptor)
            stream.fileno = partial(int, descriptor)
        for standard in (sys.__stdout__, sys.__stderr__):
            with suppress(AttributeError):
                standard.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        self._start = multiprocessing.process.BaseProcess.start
        multiprocessing.process.BaseProcess.start = lambda process: self._start_process(process)  # type: ignore[assignment, method-assign]
        self.begin({})
        children.install(self.ends, self._is_running_cells)
        self._reader = threading.Thread(target=self._read_all, name="descriptors", daemon=True)
        self._reader.start()

    def begin(self, header: dict[str, Any]) -> None:
        """Create pipes for the starting cell."""
        before = self._pipes
        if before:
            self.look()  # or the new pipes would reuse the number of a closed descriptor
        pipes: dict[int, Pipe] = {}
        try:
            for descriptor, stream in self._streams.items():
                pipes[descriptor] = Pipe(Source.of(stream, header), descriptor)
        except OSError:  # no free descriptors: continue with the pipes of the previous cell
            for pipe in pipes.values():
                os.close(pipe.read_end)
                os.close(pipe.write_end)
            return
        self._send_ends(header, [pipe.read_end for pipe in pipes.values()])
        self._listen(pipes)
        with self._earlier_lock:
            earlier, self._earlier = self._earlier, {}
            self._header, self._pipes = header, pipes
            self._lead_to(pipes)
            self._watch_settling()
            # They now end with the last process that holds them.
            for pipe in (*before.values(), *(pipe for pair in earlier.values() for pipe in pair.values())):
                os.close(pipe.write_end)

    @contextmanager
    def ends(self) -> Iterator[dict[int, int]]:
        """Lend replacements of the descriptors to code of an earlier cell: that cell's pipes."""
        lent: dict[int, int] = {}
        if self._is_of_an_earlier_cell():
            with suppress(OSError), self._earlier_lock:  # there may be no free descriptors
                pipes = self._pipes_of(current())
                for descriptor, target in self._targets.items():
                    if target is not None:
                        lent[descriptor] = os.dup(pipes[target].write_end)
        try:
            yield lent
        finally:
            for end in lent.values():
                self._close_any(end)

    def _is_of_an_earlier_cell(self) -> bool:
        """Return whether the caller is code of an earlier cell: not of a widget, nor in a forked process."""
        header = current()
        is_cells = header is not self._header and header.get("msg_type") == "execute_request"
        return is_cells and os.getpid() == self._kernel

    def _pipes_of(self, header: dict[str, Any]) -> dict[int, Pipe]:
        """Return the pipes of an earlier cell. Call with the lock held. Raises OSError."""
        name = str(header["msg_id"])
        if name not in self._earlier:
            # The executor has no ends of these: what they hold at a sudden death is lost.
            pipes = {fd: Pipe(Source.of(stream, header), fd) for fd, stream in self._streams.items()}
            self._listen(pipes)
            self._earlier[name] = pipes
            self._watch_settling()
        return self._earlier[name]

    def _is_running_cells(self, descriptor: int) -> bool:
        """Return whether a descriptor leads to a pipe of the running cell. Raises OSError."""
        return identity(descriptor) in {pipe.identity for pipe in self._pipes.values()}

    def _listen(self, pipes: dict[int, Pipe]) -> None:
        for pipe in pipes.values():
            self._open[pipe.identity] = pipe
            self._selector.register(pipe.read_end, selectors.EVENT_READ, pipe)

    def _lead_to(self, pipes: dict[int, Pipe]) -> None:
        """Point the descriptors to these pipes, except those that the code has redirected."""
        for descriptor, target in self._targets.items():
            if target is not None:
                self._dup2(pipes[target].write_end, descriptor)

    def _watch_settling(self) -> None:
        pairs = (self._pipes, self._pool_pipes, *self._earlier.values())
        self._awaited = [pipe for pair in pairs for pipe in pair.values()]
        ends = [pipe.read_end | POLLIN << 32 for pipe in self._awaited]
        self._poll_set = (ctypes.c_int64 * len(ends))(*ends)

    @property
    def diverted(self) -> list[int]:
        """The descriptors that the code has redirected."""
        return [descriptor for descriptor, target in self._targets.items() if target is None]

    def is_ours(self, descriptor: int) -> bool:
        """Return whether a descriptor is 1 or 2, or leads to a pipe of the running cell. Raises OSError."""
        return descriptor in self._targets or self._is_running_cells(descriptor)

    def look(self) -> list[int]:
        """Detect changes of the descriptors that bypassed `os.dup2`; restore and return the closed ones."""
        if not _is_open(STDIN):
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
        closed = [descriptor for descriptor in self._targets if not _is_open(descriptor)]
        for descriptor in closed:
            self._dup2(self._pipes[descriptor].write_end, descriptor)
        for descriptor, target in self._targets.items():
            pipe = self._open.get(identity(descriptor))
            if pipe is None:
                # Python's text still comes here: a file opened later may have the number by chance.
                self._targets[descriptor] = None
            elif pipe.descriptor != target:
                self._lead(descriptor, pipe.descriptor)
        return closed

    def way_back(self, descriptor: int) -> int:
        """Return a descriptor that restores a redirected one by `os.dup2`. Raises OSError."""
        way = self._ways_back.get(descriptor)
        # The code may have closed it, and its number may have been reused.
        if way is None or not _is_open(way.write_end) or identity(way.write_end) != way.identity:
            way = Pipe(Source.of(self._streams[descriptor], current()), descriptor)
            self._ways_back[descriptor] = way
            self._listen({descriptor: way})
        return way.write_end

    def _start_process(self, process: Any) -> None:
        """Start a process of multiprocessing with its cell's pipes, or with those shared by all pools."""
        if os.getpid() != self._kernel:
            self._start(process)
        elif pools.is_worker(process):
            pools.note_use()
            if not self._pool_pipes:
                self._pool_pipes = {fd: PoolPipe(stream, fd) for fd, stream in self._streams.items()}
                self._listen(self._pool_pipes)
                self._watch_settling()
            self._start_with(self._pool_pipes, process)
        else:
            pipes: dict[int, Pipe] = {}
            if self._is_of_an_earlier_cell():
                with suppress(OSError), self._earlier_lock:
                    pipes = self._pipes_of(current())
            self._start_with(pipes, process)

    def _start_with(self, pipes: dict[int, Pipe], process: Any) -> None:
        """Start a process with these pipes, if any; one that is not forked inherits the descriptors as they are."""
        if not pipes:
            self._start(process)
            return
        self.look()
        self._lead_to(pipes)
        try:
            self._start(process)
        finally:
            self._lead_to(self._pipes)

    def is_settled(self) -> bool:
        """Return whether all output of this cell's children and C code is in the journal."""
        # In this order: output that has left the pipe may still be with the reader.
        ends = self._poll_set
        return not self._poll(ends, len(ends), 0) and not self._is_reading

    def settle(self) -> None:
        """Wait until all output so far is in the journal."""
        if threading.current_thread() is self._reader:
            return
        with self._output.lock:
            wanted = [(pipe, pipe.taken + pending(pipe.read_end)) for pipe in self._awaited]
        with self._round:
            self._round.wait_for(lambda: all(pipe.added >= end for pipe, end in wanted), SETTLE_TIMEOUT_SEC)

    def flush(self) -> None:
        """Flush incomplete lines that C and Python have buffered."""
        self._c.fflush(self._c_stdout)
        with suppress(Exception):
            sys.__stdout__.flush()  # type: ignore[union-attr]

    def _read_all(self) -> None:
        while True:
            for ready, _ in self._selector.select():
                pipe = ready.data
                with suppress(Exception):  # any failure: keep reading the rest
                    self._output.add_native(pipe.key, partial(self._take, pipe))
                self._is_reading, pipe.added = False, pipe.taken
                if pipe.is_at_end:
                    self._close(pipe)
            with self._round:
                self._round.notify_all()

    def _take(self, pipe: Pipe) -> bytes:
        self._is_reading = True
        # Exactly what waits: the landing has to say how much it holds before it does. At a pipe's end nothing waits.
        size = min(pending(pipe.read_end), LANDING_BYTES) or 1
        landing = self._output.journal.land(pipe.key, size)
        count = self._read(pipe.read_end, landing, size)
        return pipe.decode(ctypes.string_at(landing, count)) if count >= 0 else b""

    def _close(self, pipe: Pipe) -> None:
        self._selector.unregister(pipe.read_end)
        self._open.pop(pipe.identity, None)
        os.close(pipe.read_end)
        header = pipe.key.parent
        if not any(other.key.parent is header for other in self._open.values()):
            self._send_ends(header)

    def _send_ends(self, header: dict[str, Any], read_ends: list[int] | None = None) -> None:
        """Send the executor the read ends of a cell's pipes, or none to report that the pipes have ended."""
        if self._channel is not None:
            with suppress(OSError):  # loses only what they hold at a sudden death
                socket.send_fds(self._channel, [str(header.get("msg_id")).encode()], read_ends or [])

    def _replace_dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        """Replace `os.dup2`: restoring descriptor 1 or 2 restores the running cell's pipe."""
        if fd2 not in self._targets or os.getpid() != self._kernel:
            return self._dup2(fd, fd2, inheritable)
        self._output.settle()
        ours = self._open.get(identity(fd))
        target = None if ours is None else ours.descriptor
        result = self._dup2(fd if target is None else self._pipes[target].write_end, fd2, inheritable)
        self._lead(fd2, target)
        return result

    def _lead(self, descriptor: int, target: int | None) -> None:
        """Note where a descriptor leads, and redirect Python's text there too."""
        self._targets[descriptor] = target
        self._output.divert(self._streams[descriptor], None if target == descriptor else self._diverting(descriptor))

    def _replace_close(self, fd: int) -> None:
        """Replace `os.close`: a file that reused the number 1 or 2 would receive what children print."""
        if fd not in self._targets or os.getpid() != self._kernel:
            self._close_any(fd)
        else:
            self._replace_dup2(self._pipes[fd].write_end, fd)

    def _replace_closerange(self, fd_low: int, fd_high: int) -> None:
        """Replace `os.closerange` in the same way."""
        if os.getpid() != self._kernel:
            self._closerange(fd_low, fd_high)
            return
        self._closerange(fd_low, min(fd_high, STDOUT))
        self._closerange(max(fd_low, STDERR + 1), fd_high)
        for descriptor in self._targets:
            if fd_low <= descriptor < fd_high:
                self._replace_close(descriptor)

    def _replace_fdopen(self, fd: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Replace `os.fdopen`: a file object would close descriptor 1 or 2 at its end."""
        if fd in self._targets and os.getpid() == self._kernel and len(arguments) < CLOSEFD_POSITION:
            options.setdefault("closefd", False)
        return self._fdopen(fd, mode, *arguments, **options)

    def _diverting(self, descriptor: int) -> Callable[[str], int]:
        write_here = self._streams[descriptor].write_here
        writers = None if identity(descriptor) is None else set(threading.enumerate())

        def write(text: str) -> int:
            # Into a pipe, but not from a thread started since, which may read that pipe: an endless loop.
            if writers is not None and threading.current_thread() not in writers:
                return int(write_here(text))
            return write_text(descriptor, text)

        return write


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _stop_watching(stream: Any, descriptor: int) -> None:
    """Stop ipykernel's own thread for the descriptor, which decodes each piece alone and knows no cells."""
    if getattr(stream, "_should_watch", False):
        stream._should_watch = False
        os.write(descriptor, b"\0")  # wakes it
        stream.watch_fd_thread.join()
        os.close(stream._fid)

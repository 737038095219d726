"""Makes a process that user code forks a plain script, which never sends messages for the kernel.

Runs in the kernel, as `_smart_colab.forks`; standard library only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any

_exit = os._exit
INTERRUPTED_CODE = 130
PID = struct.Struct("<i")


class ChildStream:
    """Writes a forked process's text to a descriptor in whole lines, since several processes may share it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = ""

    def write(self, text: str) -> int:
        """Write the complete lines, and buffer the rest."""
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        write_text(self._descriptor, whole + newline)
        return len(text)

    def flush(self) -> None:
        """Write the buffered rest."""
        rest, self._rest = self._rest, ""
        write_text(self._descriptor, rest)


class Forks:
    """Ends a forked process at the end of its cell, or of the thread that forked it."""

    def __init__(self, shell: Any, streams: tuple[Any, Any]) -> None:
        self._kernel = os.getpid()
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._show, shell.showtraceback = shell.showtraceback, self._show_traceback
        self._run, shell.run_ast_nodes = shell.run_ast_nodes, self._run_nodes
        # Exit statuses of forked processes that were reaped here and not by the code.
        self._ended: dict[int, int] = {}
        self._lock = threading.Lock()
        if hasattr(os, "fork"):
            os.register_at_fork(after_in_child=self._leave_loop)
            self._notices, self._notice = os.pipe()
            self._waitpid, os.waitpid = os.waitpid, self._wait_for
            os.wait = lambda: self._wait_for(-1, 0)
            threading.Thread(target=self._reap, name="forks", daemon=True).start()

    @property
    def is_child(self) -> bool:
        """Whether this process is a fork of the kernel."""
        return os.getpid() != self._kernel

    def end_child(self, code: int = 0) -> None:
        """Exit this process if it is a forked one."""
        if self.is_child:
            for stream in (*self._streams, sys.stdout, sys.stderr, sys.__stdout__):
                with suppress(Exception):
                    stream.flush()  # type: ignore[union-attr]
            with suppress(Exception):
                ctypes.CDLL(None).fflush(None)
                os.write(self._notice, PID.pack(os.getpid()))
            _exit(code)

    def _reap(self) -> None:
        """Reap zombies, which in a script would go with their parent."""
        while notice := os.read(self._notices, PID.size):
            (pid,) = PID.unpack(notice)
            # A grandchild, or a process that the code has reaped, cannot be waited for.
            with self._lock, suppress(ChildProcessError):
                _, self._ended[pid] = self._waitpid(pid, 0)

    def _wait_for(self, pid: int, options: int) -> tuple[int, int]:
        """Replace `os.waitpid`, also for processes reaped here."""
        if pid <= 0 and (ended := self._take_ended(pid)) is not None:
            return ended
        try:
            return self._waitpid(pid, options)
        except ChildProcessError:
            if (ended := self._take_ended(pid)) is None:
                raise
            return ended

    def _take_ended(self, pid: int) -> tuple[int, int] | None:
        if self.is_child:  # its siblings are not its own
            return None
        with self._lock:
            found = pid if pid > 0 else next(iter(self._ended), None)
            return (found, self._ended.pop(found)) if found in self._ended else None

    async def _run_nodes(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await self._run(*arguments, **options)
        finally:
            self.end_child()

    def _show_traceback(self, *arguments: Any, **options: Any) -> Any:
        error = sys.exc_info()[1]
        if self.is_child and error is not None:
            self.end_child(_report(error))
        return self._show(*arguments, **options)

    def _leave_loop(self) -> None:
        """Stop the kernel's event loop in this process: its sockets and its selector belong to the kernel."""
        for handle in getattr(self._loop, "_ready", ()):
            handle.cancel()
        self._loop._run_once = self._refuse_loop  # type: ignore[attr-defined]

    def _refuse_loop(self) -> None:
        sys.stderr.write("A forked process cannot wait in the kernel's event loop; it ends here.\n")
        self.end_child(1)


def write_text(descriptor: int, text: str) -> int:
    """Write all of it; return its length. Raises OSError."""
    write_bytes(descriptor, text.encode("utf-8", "replace"))
    return len(text)


def write_bytes(descriptor: int, raw: bytes) -> int:
    """Write all of it; return its length. Raises OSError."""
    rest = raw
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(raw)


def _report(error: BaseException) -> int:
    """Report a script's fatal `error` as Python does; return the exit code."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(f"{error.code}\n")
        return 1
    # The first frame belongs to IPython.
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    sys.stderr.write("".join(traceback.format_exception(type(error), error, frames)))
    return INTERRUPTED_CODE if isinstance(error, KeyboardInterrupt) else 1

"""Sends a kernel's output: in pieces, without loss, in order with a loop's reports, even at a sudden end.

Runs in the kernel, as `_smart_colab.kernel_output`; standard library only. The kernel's own streams buffer their text
where a kernel that is killed loses it. Here it waits in the journal, and is sent from there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import nullcontext, suppress
from functools import wraps
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any

from . import origins, pools
from .descriptors import Descriptors
from .diversions import Diversions
from .forks import ChildStream
from .journal import Journal
from .message_ids import job_of
from .messages import COMPLETE, LEAVING_TYPE, POSITION
from .origins import Source

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT_CHARS = 64 * 1024
# Limits on text not yet sent, and not yet acknowledged, before writers wait. All of it fits into half the journal.
MAX_UNSENT_BYTES = 256 * 1024
MAX_UNACKNOWLEDGED_BYTES = 6 * 1024 * 1024
ACKNOWLEDGEMENT_POLL_INTERVAL_SEC = 0.001
# Text is sent after the first delay, to be batched; but not before the second pause since the last batch has passed, or
# the third one after a large batch.
FLUSH_DELAY_SEC = 0.02
FLUSH_PAUSE_SEC = 0.05
LONG_FLUSH_PAUSE_SEC = 0.2
LARGE_BATCH_BYTES = 4096
# After this time without an acknowledgement, writers do not wait again until the executor sends one.
ACKNOWLEDGEMENT_TIMEOUT_SEC = 10.0
XPUB_NODROP = 69  # zmq.XPUB_NODROP
EXIT_TIMEOUT_SEC = 1.0
# Between two prints this close together nothing else was written; checking costs a third of a print.
MIN_SETTLE_INTERVAL_SEC = 0.6e-6
# Messages that are ordered among the streams' text.
SHOWN = frozenset({"display_data", "update_display_data", "execute_result", "error", "clear_output"})
# Messages among these that any thread may send; ipykernel attributes them to the running cell.
DISPLAYED = frozenset({"display_data", "update_display_data", "clear_output"})


class Output:
    """All output of this kernel."""

    def __init__(self, kernel: Any) -> None:
        # Called before any output, so that earlier reports can be announced before it.
        self.before: Callable[[], None] | None = None
        # Whether there was any output since `flush`.
        self.is_fresh = False
        self.received = threading.Event()
        self._kernel = kernel
        self._thread = kernel.iopub_socket.io_thread
        self._streams: tuple[Any, Any] = (sys.stdout, sys.stderr)
        self.journal = Journal(None)
        self._descriptors: Descriptors | None = None
        self._written_at = 0.0
        # The header of the latest cell.
        self._cell: dict[str, Any] = {}
        # Positions: up to where text may be written without checking the others, was handed to the sending thread's
        # queue, and was acknowledged.
        self._room = MAX_UNSENT_BYTES
        self._handed = self._acknowledged = self._last_acknowledged = 0
        # For writers only: the sending thread must not wait for a writer that waits for it.
        self.lock = threading.RLock()
        # For sending only. That is one thread, except for flushes after it has ended.
        self._send_lock = threading.RLock()
        self._is_sending = False
        self._is_paced = True
        # Whether a send is scheduled, and when the next one is allowed.
        self._is_due = False
        self._pause_ends = 0.0
        self._pid, self._executor = os.getpid(), os.getppid()
        self._send = kernel.session.send
        kernel.session.send = self._send_in_order
        if hasattr(kernel.shell, "_tee"):
            # IPython 9 collects every text in a list that is not read here: half the time of a `print`.
            kernel.shell._tee = lambda channel: nullcontext()
        self._set_parent = kernel.shell.set_parent
        kernel.shell.set_parent = self._set_parent_of_all
        self._diversions = Diversions(kernel.shell, self._streams)
        self._delay_exit()

    def guard(self, journal: str, channel: int | None) -> None:
        """Take over the streams, so that no output is lost or delayed. `channel`: for the pipes of descriptors 1 and 2.

        Not to be called by a cell: IPython 9 restores `write` after a cell.
        """
        # Without it only the latest output of a killed kernel is lost.
        with suppress(OSError, ValueError):
            self.journal = Journal(journal)
        for descriptor, stream in enumerate(self._streams, start=1):
            self._redirect_stream(stream, descriptor)
        if sys.platform != "win32":
            self._descriptors = self._diversions.descriptors = Descriptors(self, self._streams, channel)
        else:  # on Windows these lead nowhere
            sys.__stdout__, sys.__stderr__ = self._streams  # type: ignore[misc]
        # With a slow executor the sender waits, where by default it drops messages.
        self._thread.schedule(lambda: self._thread.socket.setsockopt(XPUB_NODROP, 1))

    @property
    def streams(self) -> tuple[Any, Any]:
        """The kernel's own `sys.stdout` and `sys.stderr`."""
        return self._streams

    @property
    def _is_orphan(self) -> bool:
        """Whether the executor, or the process that forks its kernels, has ended; ipykernel then calls `os._exit`."""
        return os.getpid() == self._pid and os.getppid() != self._executor

    def flush(self) -> None:
        """Send all text written so far."""
        self.is_fresh = False
        self._flush()

    def settle(self) -> None:
        """Order the output of children and C code so far before what follows."""
        if self._descriptors is None or self._descriptors.is_settled():
            return
        # Not in a `__del__` during writing or sending: this waits for another thread that does both.
        if not self.lock._is_owned() and threading.current_thread() is not self._thread.thread:  # type: ignore[attr-defined]
            self._descriptors.settle()

    def add_native(self, key: Source, read: Callable[[], bytes]) -> None:
        """Write what `read` returns to the journal, once there is room for it."""
        if (before := self.before) is not None:
            before()
        while True:
            with self.lock:
                if self.journal.position < self._room:
                    if raw := read():
                        self.journal.add(key, raw)
                    break
            self._make_room(key.stream)
        self.is_fresh = True
        if not self._is_due:
            self._schedule()

    def send(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send a message of our own after all flushed output. Callable from any thread."""
        self._send(self._kernel.iopub_socket, kind, content, parent=parent)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in the sending thread after `seconds`."""
        self._thread.schedule(lambda: self._thread.io_loop.call_later(seconds, call))

    def divert(self, stream: Any, write: Callable[[str], int] | None) -> None:
        """Redirect text printed to the stream to `write`, or back here for None."""
        stream.write = write or stream.write_here

    def continue_cell(self) -> None:
        """Attribute the output of what is called next to the latest cell; `is_fresh` tells whether there was any."""
        self.flush()
        origins.begin(self._cell)

    def _note_output(self) -> None:
        if (before := self.before) is not None:
            before()
        self.is_fresh = True

    def _flush(self) -> None:
        self.settle()
        # Only if needed, as it waits for the sending thread. In this order: taken text is being sent.
        if self.journal.has_untaken or self._is_sending:
            self._streams[0].flush()

    def _set_parent_of_all(self, parent: dict[str, Any]) -> None:
        """Set the running cell of our streams, even if user code has replaced `sys.stdout` or `sys.stderr`."""
        self._set_parent(parent)
        for stream in self._streams:
            stream.set_parent(parent)
        header = parent.get("header", {})
        if origins.current() is not header:
            origins.begin(header)
            if header.get("msg_type") == "execute_request":
                self._cell = header
                if self._descriptors is not None:
                    pools.follow()
                    self._descriptors.begin(header)
                self._diversions.begin(job_of(str(header.get("msg_id"))))

    def _send_in_order(self, stream: Any, message: Any, *rest: Any, **options: Any) -> Any:
        kind = message.get("msg_type") if isinstance(message, dict) else message
        if os.getpid() != self._pid:
            return self._show_in_child(message)
        if kind in SHOWN:
            self._note_output()
        if kind in SHOWN or kind == "execute_reply":
            if self._descriptors is not None:
                self._descriptors.flush()
            # ipykernel flushes only the current `sys.stdout` and `sys.stderr`.
            self._flush()
        if kind in DISPLAYED:
            if isinstance(message, dict):
                message["parent_header"] = origins.current()
            elif len(rest) > 1:
                rest = (rest[0], origins.current(), *rest[2:])
            else:
                options["parent"] = origins.current()
        return self._send(stream, message, *rest, **options)

    def _show_in_child(self, message: Any) -> None:
        """Print the text of a display in a forked process, which sends no messages."""
        if isinstance(message, dict) and message.get("msg_type") in DISPLAYED:
            text = message["content"].get("data", {}).get("text/plain")
            if isinstance(text, str):
                self._streams[0].write(text + "\n")

    def _redirect_stream(self, stream: Any, descriptor: int) -> None:
        """Redirect the stream's text to the journal, to be sent from there."""
        write, flush, current = stream.write, stream.flush, origins.current
        getpid, process = os.getpid, self._pid
        clock, child = perf_counter, ChildStream(descriptor)
        source = stream.source = Source.of(stream, {})  # of no cell

        # Called twice by every `print`, so it avoids calls.
        def write_here(text: str) -> int:
            nonlocal source
            if not isinstance(text, str):
                write(text)  # raises the right TypeError
            if getpid() != process:
                # A forked child, also one forked by C, writes for itself, and none of its parent's text.
                return child.write(text)
            if not text:
                return 0
            if text != "\n" and clock() - self._written_at > MIN_SETTLE_INTERVAL_SEC:
                self.settle()
            if (before := self.before) is not None:
                before()
            self.is_fresh = True
            if len(text) > MAX_TEXT_CHARS:
                for at in range(0, len(text), MAX_TEXT_CHARS):
                    write_here(text[at : at + MAX_TEXT_CHARS])
                return len(text)
            try:
                raw = text.encode()
            except UnicodeEncodeError:  # UTF-8 has no lone surrogates
                raw = text.encode("utf-8", "replace")
            key, parent = source, current()
            if key.parent is not parent:
                source = key = stream.source = Source.of(stream, parent)
            with self.lock:
                is_written = self.journal.position < self._room and not self.journal.is_adding
                if is_written:
                    self.journal.add(key, raw)
            if not is_written:
                self._write_later(key, raw)
            if not self._is_due:
                self._schedule()
            self._written_at = clock()
            return len(text)

        stream.write = stream.write_here = write_here
        stream.flush = lambda: flush() if getpid() == process else child.flush()
        stream.close = stream.flush  # the next cell prints to it, too
        stream._flush = self._send_waiting

    def _schedule(self) -> None:
        """Schedule a send of the waiting text."""
        self._is_due = True
        delay = max(FLUSH_DELAY_SEC, self._pause_ends - monotonic())
        try:
            self.later(delay, self._send_waiting)
        except BaseException:  # from a signal handler; better sent twice than not at all
            self._is_due = False
            raise

    def _write_later(self, key: Source, raw: bytes) -> None:
        """Write text to the journal once there is room for it."""
        while True:
            with self.lock:
                # In a signal handler during another print, or in a `__del__` during sending: it must not wait for
                # itself.
                if self.journal.is_adding or threading.current_thread() is self._thread.thread:
                    self.journal.hold(key, raw)
                    return
                if self.journal.position < self._room:
                    self.journal.add(key, raw)
                    return
            self._make_room(key.stream)

    def _make_room(self, stream: Any) -> None:
        """Wait until the text is sent and enough of it is acknowledged for the journal to hold the rest."""
        stream.flush()
        until = monotonic() + ACKNOWLEDGEMENT_TIMEOUT_SEC
        while self.journal.is_shared:
            earlier, now = self._last_acknowledged, self.journal.acknowledged()
            self._last_acknowledged = now
            if now > earlier or self.journal.position - now < MAX_UNACKNOWLEDGED_BYTES:
                self._is_paced = True
                until = monotonic() + ACKNOWLEDGEMENT_TIMEOUT_SEC
            self._acknowledged = now
            if self.journal.position - now < MAX_UNACKNOWLEDGED_BYTES:
                break
            if not self._is_paced:
                self._acknowledged = self._handed
                break
            self._is_paced = monotonic() < until
            sleep(ACKNOWLEDGEMENT_POLL_INTERVAL_SEC)
        else:
            # Without a shared journal there are no acknowledgements: sent text counts.
            self._acknowledged = self._handed
        self._measure_room()

    def _measure_room(self) -> None:
        self._room = min(self._handed + MAX_UNSENT_BYTES, self._acknowledged + MAX_UNACKNOWLEDGED_BYTES)

    def _send_waiting(self) -> None:
        """Send the waiting text. In the sending thread, or in any other once that has ended."""
        with self._send_lock:
            if self._is_sending:
                return  # a `__del__` flushes during a send; its text is sent next
            try:
                self._is_sending = True
                self._send_batch()
            finally:
                self._is_sending = False

    def _send_batch(self) -> None:
        """Send the text waiting now, in one message for each key."""
        self._is_due = False
        batch: dict[Any, list[bytes]] = {}
        ends: dict[Any, int] = {}
        end = self._handed
        for key, text, position in self.journal.take():
            batch.setdefault(key, []).append(text)
            if position is not None:
                ends[key] = end = position
        last = next((key for key in reversed(batch) if key in ends), None)
        for key, texts in batch.items():
            content = {"name": key.stream.name, "text": b"".join(texts).decode()}
            metadata = {}
            if key in ends:
                metadata = {POSITION: ends[key], COMPLETE: end if key is last else self._handed}
            self._send(self._thread, "stream", content, key.parent, key.stream.topic, metadata=metadata)
        if batch:
            is_much = end - self._handed > LARGE_BATCH_BYTES
            self._pause_ends = monotonic() + (LONG_FLUSH_PAUSE_SEC if is_much else FLUSH_PAUSE_SEC)
        self._handed = end
        self._measure_room()

    def _delay_exit(self) -> None:
        """Make `os._exit` wait, up to EXIT_TIMEOUT_SEC, until the executor has received all output."""
        leave = os._exit

        def leave_when_received(status: int) -> None:
            try:
                self.wait_until_received()
            finally:
                if sys.platform != "win32" and self._is_orphan and os.getpgrp() == self._pid:
                    os.killpg(self._pid, signal.SIGKILL)  # with what code has started: nobody else would
                leave(status)

        os._exit = leave_when_received  # type: ignore[assignment]
        # All other `os.exec` functions call these.
        os.execv, os.execve = self._replacing(os.execv), self._replacing(os.execve)

    def _replacing(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Make `os.execv` print a note: to the executor it looks as if Python had exited."""

        @wraps(execute)
        def replace_when_received(path: Any, *arguments: Any) -> Any:
            with suppress(Exception):
                program = os.fsdecode(path)
                if os.getpid() == self._pid and os.access(program, os.X_OK) and Path(program).is_file():
                    self._streams[1].write(
                        f"[os.exec: {program} replaces this Python process; its variables are gone]\n"
                    )
                    self.wait_until_received()
            return execute(path, *arguments)

        return replace_when_received

    def wait_until_received(self) -> None:
        """Wait, up to EXIT_TIMEOUT_SEC, until the executor has received all output."""
        # A forked child has no sending thread, and without an executor there is no receiver.
        if os.getpid() == self._pid and not self._is_orphan:
            # Not in this thread, which may be the sending one.
            threading.Thread(target=self._announce_leaving, daemon=True).start()
            self.received.wait(EXIT_TIMEOUT_SEC)

    def _announce_leaving(self) -> None:
        with suppress(Exception):
            self.flush()
        self.send(LEAVING_TYPE, {}, {})

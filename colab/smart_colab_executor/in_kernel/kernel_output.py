"""What a kernel puts out: in pieces, none dropped, in order with a loop's reports, and to the last word.

Runs in the kernel, as `_smart_colab.kernel_output`; standard library alone. The kernel's own streams keep their text in
a buffer each, where a kernel that is killed loses it. Here it waits in the journal, and is sent from there.
"""

from __future__ import annotations

import os
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
from .origins import Source

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVING_TYPE = "smart_colab_leaving"
# In a stream's message: all that was written to the stream up to this position is in it, or in those before it.
POSITION = "smart_colab_position"
# And all that was written to any stream up to this one.
COMPLETE = "smart_colab_complete"
MAX_TEXT_CHARS = 64 * 1024
# How much may wait to be sent, and to be heard, before the writer is made to wait. All of it fits half the journal.
MAX_UNSENT_BYTES = 256 * 1024
MAX_UNHEARD_BYTES = 6 * 1024 * 1024
HEARING_POLL_INTERVAL_SEC = 0.001
# A text is sent after the first of these, for company's sake; but no sooner after what was sent before than the second,
# or the third where that was much.
FLUSH_DELAY_SEC = 0.02
FLUSH_PAUSE_SEC = 0.05
LONG_FLUSH_PAUSE_SEC = 0.2
MUCH_BYTES = 4096
# An executor that hears nothing for so long is not waited for again until it says that it hears.
HEARING_TIMEOUT_SEC = 10.0
XPUB_NODROP = 69  # zmq.XPUB_NODROP
LAST_WORDS_SEC = 1.0
# Between two prints so close together nothing else has written; to look costs a third of a print.
NOTHING_WRITTEN_SEC = 0.6e-6
# What is shown beside the streams; the rest of the messages has no place among them.
SHOWN = frozenset({"display_data", "update_display_data", "execute_result", "error", "clear_output"})
# Of these, what any thread may send; ipykernel has it belong to the cell that runs.
DISPLAYED = frozenset({"display_data", "update_display_data", "clear_output"})


class Output:
    """All that this kernel puts out."""

    def __init__(self, kernel: Any) -> None:
        # Called before anything is put out, so that what came before it can be told before it.
        self.before: Callable[[], None] | None = None
        # Whether anything was put out since `flush`.
        self.is_fresh = False
        self.heard = threading.Event()
        self._kernel = kernel
        self._thread = kernel.iopub_socket.io_thread
        self._streams: tuple[Any, Any] = (sys.stdout, sys.stderr)
        self._journal = Journal(None)
        self._descriptors: Descriptors | None = None
        self._written_at = 0.0
        # Positions: up to where may be written without a look at what follows, was handed to the sending thread's queue
        # (which goes out in its turn), and was heard.
        self._room = MAX_UNSENT_BYTES
        self._handed = self._heard = self._last_heard = 0
        # For writers only: the sending thread is not to wait for one that waits for it.
        self.lock = threading.RLock()
        # For those that send only. That is one thread, but for what is flushed when it is gone.
        self._send_lock = threading.RLock()
        self._is_sending = False
        self._is_paced = True
        # Whether what waits will be sent without being asked for, and when that is in order again.
        self._is_due = False
        self._pause_ends = 0.0
        self._pid, self._executor = os.getpid(), os.getppid()
        self._send = kernel.session.send
        kernel.session.send = self._send_in_order
        if hasattr(kernel.shell, "_tee"):
            # IPython 9's, through which every text went into a list that nobody reads here: half the time of a `print`.
            kernel.shell._tee = lambda channel: nullcontext()
        self._set_parent = kernel.shell.set_parent
        kernel.shell.set_parent = self._set_parent_of_all
        self._diversions = Diversions(kernel.shell, self._streams)
        self._hold_exit()

    def guard(self, journal: str, channel: int | None) -> None:
        """Let no output be lost or come in a lump; `channel` is for the pipes of descriptors 1 and 2.

        Not for a cell to call: IPython 9 takes `write` back after one.
        """
        # Where it cannot be had, only the last words of a kernel that is killed are lost.
        with suppress(OSError, ValueError):
            self._journal = Journal(journal)
        for descriptor, stream in enumerate(self._streams, start=1):
            self._take_over(stream, descriptor)
        if sys.platform != "win32":
            self._descriptors = self._diversions.descriptors = Descriptors(self, self._streams, channel)
        else:  # there these lead nowhere
            sys.__stdout__, sys.__stderr__ = self._streams  # type: ignore[misc]
        # When the executor reads slowly the sender waits, where it would throw messages away.
        self._thread.schedule(lambda: self._thread.socket.setsockopt(XPUB_NODROP, 1))

    @property
    def streams(self) -> tuple[Any, Any]:
        """The kernel's own `sys.stdout` and `sys.stderr`."""
        return self._streams

    def flush(self) -> None:
        """Send what has been written so far."""
        self.is_fresh = False
        self._flush()

    def settle(self) -> None:
        """Let what children and C code have written so far come before what follows."""
        if self._descriptors is None or self._descriptors.is_settled():
            return
        # Not by a `__del__` while something is written down or sent: this waits for another thread to do both.
        if not self.lock._is_owned() and threading.current_thread() is not self._thread.thread:  # type: ignore[attr-defined]
            self._descriptors.settle()

    def add_native(self, key: Source, read: Callable[[], bytes]) -> None:
        """Write down what `read` gives, once there is room for it."""
        if (before := self.before) is not None:
            before()
        while True:
            with self.lock:
                if self._journal.position < self._room:
                    if raw := read():
                        self._journal.add(key, raw)
                    break
            self._make_room(key.stream)
        self.is_fresh = True
        if not self._is_due:
            self._schedule()

    def send(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send a message of our own behind all that was flushed before. From any thread."""
        self._send(self._kernel.iopub_socket, kind, content, parent=parent)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in the sending thread after `seconds`."""
        self._thread.schedule(lambda: self._thread.io_loop.call_later(seconds, call))

    def divert(self, stream: Any, write: Callable[[str], int] | None) -> None:
        """Have `write` take what is printed to the stream, or have it taken here again."""
        stream.write = write or stream.write_here

    def _put_out(self) -> None:
        if (before := self.before) is not None:
            before()
        self.is_fresh = True

    def _flush(self) -> None:
        self.settle()
        # Not for nothing: the sending thread is waited for. In this order: what is taken is being sent.
        if self._journal.has_untaken or self._is_sending:
            self._streams[0].flush()

    def _set_parent_of_all(self, parent: dict[str, Any]) -> None:
        """Tell our streams which cell runs, also where user code has put something else in their place."""
        self._set_parent(parent)
        for stream in self._streams:
            stream.set_parent(parent)
        header = parent.get("header", {})
        if origins.current() is not header:
            origins.begin(header)
            if header.get("msg_type") == "execute_request":
                if self._descriptors is not None:
                    pools.follow()
                    self._descriptors.begin(header)
                self._diversions.begin(job_of(str(header.get("msg_id"))))

    def _send_in_order(self, stream: Any, message: Any, *rest: Any, **options: Any) -> Any:
        kind = message.get("msg_type") if isinstance(message, dict) else message
        if os.getpid() != self._pid:
            return self._show_in_child(message)
        if kind in SHOWN:
            self._put_out()
        if kind in SHOWN or kind == "execute_reply":
            if self._descriptors is not None:
                self._descriptors.flush()
            # ipykernel flushes only what `sys.stdout` and `sys.stderr` are now.
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
        """A forked process sends nothing; what it displays is text, as in a script."""
        if isinstance(message, dict) and message.get("msg_type") in DISPLAYED:
            text = message["content"].get("data", {}).get("text/plain")
            if isinstance(text, str):
                self._streams[0].write(text + "\n")

    def _take_over(self, stream: Any, descriptor: int) -> None:
        """Have the stream's text wait here, and this send it."""
        write, flush, current = stream.write, stream.flush, origins.current
        getpid, process = os.getpid, self._pid
        clock, child = perf_counter, ChildStream(descriptor)
        source = stream.source = Source.of(stream, {})  # nobody's

        # Called twice by every `print`: what can be had without a call is.
        def write_here(text: str) -> int:
            nonlocal source
            if not isinstance(text, str):
                write(text)  # which says what is wrong with it
            if getpid() != process:
                # A forked child, also one that C made, writes for itself, and nothing of what its parent wrote.
                return child.write(text)
            if not text:
                return 0
            if text != "\n" and clock() - self._written_at > NOTHING_WRITTEN_SEC:
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
            except UnicodeEncodeError:  # a lone surrogate has no place in UTF-8
                raw = text.encode("utf-8", "replace")
            key, parent = source, current()
            if key.parent is not parent:
                source = key = stream.source = Source.of(stream, parent)
            with self.lock:
                is_written = self._journal.position < self._room and not self._journal.is_adding
                if is_written:
                    self._journal.add(key, raw)
            if not is_written:
                self._write_later(key, raw)
            if not self._is_due:
                self._schedule()
            self._written_at = clock()
            return len(text)

        stream.write = stream.write_here = write_here
        stream.flush = lambda: flush() if getpid() == process else child.flush()
        stream.close = stream.flush  # the next cell prints to it too
        stream._flush = self._send_waiting

    def _schedule(self) -> None:
        """Have what waits sent soon."""
        self._is_due = True
        delay = max(FLUSH_DELAY_SEC, self._pause_ends - monotonic())
        try:
            self.later(delay, self._send_waiting)
        except BaseException:  # a signal's; better twice than not at all
            self._is_due = False
            raise

    def _write_later(self, key: Source, raw: bytes) -> None:
        """Write down what found no room."""
        while True:
            with self.lock:
                # In a signal's handler in the middle of another print, or in the middle of sending (by a `__del__`): it
                # is not to wait for what waits for it.
                if self._journal.is_adding or threading.current_thread() is self._thread.thread:
                    self._journal.hold(key, raw)
                    return
                if self._journal.position < self._room:
                    self._journal.add(key, raw)
                    return
            self._make_room(key.stream)

    def _make_room(self, stream: Any) -> None:
        """Wait until what was written is sent, and heard but for as much as the journal holds."""
        stream.flush()
        until = monotonic() + HEARING_TIMEOUT_SEC
        while self._journal.is_shared:
            heard, self._last_heard = self._last_heard, self._journal.heard()
            if self._last_heard > heard or self._journal.position - self._last_heard < MAX_UNHEARD_BYTES:
                self._is_paced = True
                until = monotonic() + HEARING_TIMEOUT_SEC
            self._heard = self._last_heard
            if self._journal.position - self._heard < MAX_UNHEARD_BYTES:
                break
            if not self._is_paced:
                self._heard = self._handed
                break
            self._is_paced = monotonic() < until
            sleep(HEARING_POLL_INTERVAL_SEC)
        else:
            # Nobody says what is heard: what is sent counts.
            self._heard = self._handed
        self._measure_room()

    def _measure_room(self) -> None:
        self._room = min(self._handed + MAX_UNSENT_BYTES, self._heard + MAX_UNHEARD_BYTES)

    def _send_waiting(self) -> None:
        """Send what waits. In the sending thread, or in any when that is gone."""
        with self._send_lock:
            if self._is_sending:
                return  # a `__del__` flushes in the middle of this; what it printed is sent next
            try:
                self._is_sending = True
                self._send_batch()
            finally:
                self._is_sending = False

    def _send_batch(self) -> None:
        """Send what waits now, in one message for each key."""
        self._is_due = False
        batch: dict[Any, list[bytes]] = {}
        ends: dict[Any, int] = {}
        end = self._handed
        for key, text, position in self._journal.take():
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
            is_much = end - self._handed > MUCH_BYTES
            self._pause_ends = monotonic() + (LONG_FLUSH_PAUSE_SEC if is_much else FLUSH_PAUSE_SEC)
        self._handed = end
        self._measure_room()

    def _hold_exit(self) -> None:
        """Have `os._exit` wait, for a moment at most, until the executor has what was printed before it."""
        leave = os._exit

        def leave_when_heard(status: int) -> None:
            try:
                self._wait_to_be_heard()
            finally:
                leave(status)

        os._exit = leave_when_heard  # type: ignore[assignment]
        # All others of the family call these.
        os.execv, os.execve = self._replacing(os.execv), self._replacing(os.execve)

    def _replacing(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Have `os.execv` say what becomes of this process: to the executor it looks as if Python had ended."""

        @wraps(execute)
        def replace_when_heard(path: Any, *arguments: Any) -> Any:
            with suppress(Exception):
                program = os.fsdecode(path)
                if os.getpid() == self._pid and os.access(program, os.X_OK) and Path(program).is_file():
                    self._streams[1].write(
                        f"[os.exec: {program} runs in the place of this Python process, whose variables are gone]\n"
                    )
                    self._wait_to_be_heard()
            return execute(path, *arguments)

        return replace_when_heard

    def _wait_to_be_heard(self) -> None:
        # A forked child has no sending thread, and without an executor nobody listens.
        if os.getpid() == self._pid and os.getppid() == self._executor:
            # Not in this thread, which may be the one that sends.
            threading.Thread(target=self._say_that_it_leaves, daemon=True).start()
            self.heard.wait(LAST_WORDS_SEC)

    def _say_that_it_leaves(self) -> None:
        with suppress(Exception):
            self.flush()
        self.send(LEAVING_TYPE, {}, {})

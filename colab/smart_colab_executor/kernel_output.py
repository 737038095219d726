"""What a kernel puts out: in pieces, none dropped, in order with a loop's reports, and to the last word.

Runs in the kernel, as `_smart_colab.kernel_output`; standard library alone. The kernel's own streams keep their text in
a buffer each, where a kernel that is killed loses it. Here it waits in `Output`, and in the journal until it is sent.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from .journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVING_TYPE = "smart_colab_leaving"
# In a stream's message: all that was written to the stream up to this position is in it, or in those before it.
POSITION = "smart_colab_position"
MAX_TEXT_CHARS = 64 * 1024
# How much may wait to be sent, and to be heard, before the writer is made to wait. All of it fits half the journal.
MAX_UNSENT_BYTES = 256 * 1024
MAX_UNHEARD_BYTES = 6 * 1024 * 1024
HEARING_PAUSE_SEC = 0.001
# An executor that hears nothing for so long does not say what it hears.
HEARING_PATIENCE_SEC = 10.0
XPUB_NODROP = 69  # zmq.XPUB_NODROP
LAST_WORDS_SEC = 1.0
# What is shown beside the streams; the rest of the messages has no place among them.
SHOWN = frozenset({"display_data", "update_display_data", "execute_result", "error", "clear_output"})


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
        self._journal: Journal | None = None
        # The header of the cell that each stream was last written to in, and the key of that in the journal.
        self._last_key: dict[Any, tuple[Any, bytes]] = dict.fromkeys(self._streams, (None, b""))
        # In the order of the journal: key, stream, header of the cell, text, and the position behind it.
        self._waiting: deque[tuple[bytes, Any, dict[str, Any], str, int | None]] = deque()
        # Positions in what was ever written.
        self._written = self._sent = self._heard = 0
        # For writers only: the sending thread is not to wait for one that waits for it.
        self._lock = threading.RLock()
        self._is_writing = False
        self._is_paced = True
        self._is_forked = False
        self._send = kernel.session.send
        kernel.session.send = self._send_in_order
        self._hold_exit()

    def guard(self, journal: str) -> None:
        """Let no output be lost or come in a lump. Not for a cell to call: IPython 9 takes `write` back after one."""
        # Where there is none, only the last words of a kernel that is killed are lost.
        with suppress(OSError, ValueError):
            self._journal = Journal(journal)
        for stream in self._streams:
            self._take_over(stream)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_to_child)
        # When the executor reads slowly the sender waits, where it would throw messages away.
        self._thread.schedule(lambda: self._thread.socket.setsockopt(XPUB_NODROP, 1))

    def flush(self) -> None:
        """Send what has been written so far."""
        self.is_fresh = False
        # Not for nothing: the sending thread is waited for.
        if self._waiting:
            self._streams[0].flush()

    def send(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send a message of our own behind all that was flushed before. From any thread."""
        self._send(self._kernel.iopub_socket, kind, content, parent=parent)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in the sending thread after `seconds`."""
        self._thread.schedule(lambda: self._thread.io_loop.call_later(seconds, call))

    def _put_out(self) -> None:
        if self.before is not None:
            self.before()
        self.is_fresh = True

    def _send_in_order(self, stream: Any, message: Any, *rest: Any, **options: Any) -> Any:
        if (message.get("msg_type") if isinstance(message, dict) else message) in SHOWN:
            self._put_out()
        return self._send(stream, message, *rest, **options)

    def _take_over(self, stream: Any) -> None:
        """Have the stream's text wait here, and this send it."""
        write, send = stream.write, stream._flush

        def write_here(text: str) -> int:
            if self._is_forked or not isinstance(text, str) or stream.closed:
                return int(write(text))  # which says what is wrong with it
            self._put_out()
            if len(text) <= MAX_TEXT_CHARS:
                self._write(stream, text)
            else:
                for at in range(0, len(text), MAX_TEXT_CHARS):
                    self._write(stream, text[at : at + MAX_TEXT_CHARS])
            return len(text)

        stream.write = write_here
        stream._flush = lambda: send() if self._is_forked else self._send_waiting()

    def _write(self, stream: Any, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        if not text.isascii():
            # A lone surrogate would make the whole message fail, unseen, in the sending thread.
            text = raw.decode()
        parent = stream.parent_header
        last, key = self._last_key[stream]
        if parent is not last:
            key = f"{stream.name} {parent.get('msg_id')}".encode()
            self._last_key[stream] = (parent, key)
        while True:
            with self._lock:
                if self._written - self._sent < MAX_UNSENT_BYTES and self._written - self._heard < MAX_UNHEARD_BYTES:
                    position = self._write_down(key, raw)
                    self._waiting.append((key, stream, parent, text, position))
                    break
            self._make_room(stream)
        stream._schedule_flush()

    def _write_down(self, key: bytes, raw: bytes) -> int | None:
        """Write to the journal; the position behind it, None where it is not in there. With the lock held."""
        if self._is_writing:
            return None  # a signal's handler prints in the middle of another print
        try:
            self._is_writing = True
            if self._journal is not None:
                self._written = self._journal.add(key, raw)
                return self._written
            self._written += len(raw)
            return None
        finally:
            self._is_writing = False

    def _make_room(self, stream: Any) -> None:
        """Wait until what was written is sent, and heard but for as much as the journal holds."""
        stream.flush()
        until = monotonic() + HEARING_PATIENCE_SEC
        while self._journal is not None and self._is_paced:
            heard, self._heard = self._heard, self._journal.heard()
            if self._written - self._heard < MAX_UNHEARD_BYTES:
                return
            if self._heard > heard:
                until = monotonic() + HEARING_PATIENCE_SEC
            self._is_paced = monotonic() < until
            sleep(HEARING_PAUSE_SEC)
        self._heard = self._sent

    def _send_waiting(self) -> None:
        """Send what waits, in one message for each key. In the sending thread."""
        for stream in self._streams:
            stream._flush_pending = False
        batch: dict[bytes, list[list[Any]]] = {}
        end = self._written
        for _ in range(len(self._waiting)):
            key, *written = self._waiting.popleft()
            batch.setdefault(key, []).append(written)
        for texts in batch.values():
            stream, parent, _, _ = texts[-1]
            content = {"name": stream.name, "text": "".join(text for _, _, text, _ in texts)}
            position = max((position for _, _, _, position in texts if position), default=None)
            metadata = {POSITION: position} if position else {}
            self._send(self._thread, "stream", content, parent, stream.topic, metadata=metadata)
        self._sent = end

    def _leave_to_child(self) -> None:
        """A forked child sends for itself, and nothing of what its parent wrote."""
        self._is_forked = True

    def _hold_exit(self) -> None:
        """Have `os._exit` wait, for a moment at most, until the executor has what was printed before it."""
        leave, kernel, executor = os._exit, os.getpid(), os.getppid()

        def leave_when_heard(status: int) -> None:
            try:
                # A forked child has no sending thread, and without an executor nobody listens.
                if os.getpid() == kernel and os.getppid() == executor:
                    # Not in this thread, which may be the one that sends.
                    threading.Thread(target=self._say_that_it_leaves, daemon=True).start()
                    self.heard.wait(LAST_WORDS_SEC)
            finally:
                leave(status)

        os._exit = leave_when_heard  # type: ignore[assignment]

    def _say_that_it_leaves(self) -> None:
        with suppress(Exception):
            self.flush()
        self.send(LEAVING_TYPE, {}, {})

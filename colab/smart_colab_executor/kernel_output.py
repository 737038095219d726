"""What a kernel puts out: in pieces, none dropped, in order with a loop's reports, and to the last word.

Runs in the kernel, as `_smart_colab.kernel_output`; standard library alone.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVING_TYPE = "smart_colab_leaving"
# What one message of output may hold, and how much may wait in the kernel before the writer is made to wait.
MAX_WRITE_CHARS = 256 * 1024
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
        # The streams, and whether there is anything in them to flush.
        self._streams = {sys.stdout: False, sys.stderr: False}
        self._send = kernel.session.send
        kernel.session.send = self._send_in_order
        self._hold_exit()

    def guard(self) -> None:
        """Let no output be lost or come in a lump. Not for a cell to call: IPython 9 takes `write` back after one."""
        for stream in self._streams:
            self._write_in_pieces(stream)
        # When the executor reads slowly the sender waits, where it would throw messages away.
        self._thread.schedule(lambda: self._thread.socket.setsockopt(XPUB_NODROP, 1))

    def flush(self) -> None:
        """Send what has been written so far."""
        self.is_fresh = False
        for stream, is_fresh in self._streams.items():
            if is_fresh:
                # Not for nothing: the sending thread is waited for.
                self._streams[stream] = False
                stream.flush()

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

    def _write_in_pieces(self, stream: Any) -> None:
        """Without this a loop that prints 200 MB arrives as one message."""
        write = stream.write
        pending = 0

        def bounded(text: str) -> int:
            nonlocal pending
            if not isinstance(text, str):
                return int(write(text))  # which says what is wrong with it
            self._put_out()
            if not text.isascii():
                # A lone surrogate would make the whole message fail, unseen, in the sending thread.
                text = text.encode("utf-8", "replace").decode()
            for at in range(0, len(text), MAX_WRITE_CHARS):
                piece = text[at : at + MAX_WRITE_CHARS]
                write(piece)
                pending += len(piece)
                if pending >= MAX_WRITE_CHARS:
                    pending = 0
                    stream.flush()
            self._streams[stream] = True
            return len(text)

        stream.write = bounded

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

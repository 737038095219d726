"""A socket to a kernel, for the kernels' thread.

Without the futures and events of `zmq.asyncio` and the dates of jupyter_client's `Session`, which cost a quick job more
than its messages do.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

import zmq
from jupyter_client.session import DELIM, Session

from ..core.clock import now
from ..in_kernel.jsonline import dump

log = logging.getLogger(__name__)

# After so many messages others have their turn.
MESSAGES_A_TURN = 100
# Of Jupyter's messages.
PROTOCOL_VERSION = "5.3"
EMPTY = b"{}"
POLLIN = int(zmq.POLLIN)

_parse = json.JSONDecoder().raw_decode


class Port:
    """Sends messages at once, and passes each one received to a function."""

    def __init__(self, socket: zmq.Socket[bytes], session: Session, handle: Callable[[dict[str, Any]], None]) -> None:
        """Start to receive on `socket`, which it owns from now on."""
        self._socket = socket
        self._session = session
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        # ZeroMQ signals once, not for as long as there are messages: each time all are to be received.
        self._loop.add_reader(socket.fileno(), self._receive)
        self._loop.call_soon(self._receive)

    def send(self, kind: str, content: dict[str, Any], message_id: str) -> None:
        """Send a message; the queue is unbounded."""
        session = self._session
        header = {
            "msg_id": message_id,
            "msg_type": kind,
            "username": session.username,
            "session": session.session,
            "date": now(),
            "version": PROTOCOL_VERSION,
        }
        parts = [dump(header), EMPTY, EMPTY, dump(content)]
        self._socket.send_multipart([DELIM, session.sign(parts), *parts])
        # Sending may use up the signal for a message that has arrived.
        if self._has_message():
            self._loop.call_soon(self._receive)

    def close(self) -> None:
        """Close the socket; nothing more is received."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)

    def _receive(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if self._socket.closed or not self._has_message():
                return
            try:
                self._handle(self._message(self._frames()))
            except Exception:  # one bad message must not end the rest
                log.exception("a kernel's message could not be handled")
        self._loop.call_soon(self._receive)

    def _has_message(self) -> bool:
        return bool(int(self._socket.get(zmq.EVENTS)) & POLLIN)

    def _frames(self) -> list[bytes]:
        """Return the parts of a message. A frame says whether another follows, where the socket takes longer."""
        frames = []
        while True:
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            frames.append(frame.bytes)
            if not frame.more:
                return frames

    def _message(self, frames: list[bytes]) -> dict[str, Any]:
        """Return a message's parts that matter here."""
        session = self._session
        start = frames.index(DELIM) + 1
        signature, header, parent, metadata, content, *_ = frames[start:]
        signed = session.sign([header, parent, metadata, content])
        if session.auth is not None and not compare_digest(signature, signed):
            raise ValueError("its signature is wrong")
        return {
            "msg_type": _unpacked(header)["msg_type"],
            "parent_header": _unpacked(parent),
            "metadata": _unpacked(metadata),
            "content": _unpacked(content),
        }


def _unpacked(part: bytes) -> Any:
    return {} if part == EMPTY else _parse(part.decode("utf-8", "replace"))[0]

"""A socket to a kernel, for the kernels' thread.

Without the futures and events of `zmq.asyncio`, which cost a quick job more than its messages do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

import zmq
from jupyter_client.session import DELIM, Session

log = logging.getLogger(__name__)

# After so many messages others have their turn.
MESSAGES_A_TURN = 100


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

    def send(self, parts: list[bytes]) -> None:
        """Send the parts of a message; the queue is unbounded."""
        self._socket.send_multipart(parts)
        # Sending may use up the signal for a message that has arrived.
        if int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._receive)

    def close(self) -> None:
        """Close the socket; nothing more is received."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)

    def _receive(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._handle(self._message(frames))
            except Exception:  # one bad message must not end the rest
                log.exception("a kernel's message could not be handled")
        self._loop.call_soon(self._receive)

    def _message(self, frames: list[bytes]) -> dict[str, Any]:
        """Return a message's parts that matter here.

        Unlike the session's own method it parses no dates, which takes longer than all the rest.
        """
        session = self._session
        start = frames.index(DELIM) + 1
        signature, header, parent, metadata, content, *_ = frames[start:]
        signed = session.sign([header, parent, metadata, content])
        if session.auth is not None and not compare_digest(signature, signed):
            raise ValueError("its signature is wrong")
        return {
            "msg_type": session.unpack(header)["msg_type"],
            "parent_header": session.unpack(parent),
            "metadata": session.unpack(metadata),
            "content": session.unpack(content),
        }

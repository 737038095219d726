"""The host of a machine: what reaches its Jupyter Server, and what does not."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from frames import asking, decoded, with_prefix
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders, HTTPOutputError, HTTPServerRequest, parse_response_start_line
from tornado.iostream import StreamClosedError
from tornado.routing import Matcher, PathMatches, Rule
from tornado.web import RequestHandler, stream_request_body
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketHandler, websocket_connect

if TYPE_CHECKING:
    from machine import Machine

HEADER = "X-Colab-Runtime-Proxy-Token"
ARGUMENT = "colab-runtime-proxy-token"
KEPT_BACK = {
    "authorization",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    HEADER.lower(),
}
PIECE_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 2**30
# A message of Colab's own is small.
MAX_COLAB_BYTES = 2**20
OTHER_PORT = re.compile(r"(?!8080-)\d+-")


class IsUpgrade(Matcher):
    """Matches the handshake of a WebSocket."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return no arguments for one."""
        return {} if request.headers.get("Upgrade", "").lower() == "websocket" else None


def routes(machine: Machine) -> list[Rule]:
    """Return what the host of a machine answers."""
    arguments = {"machine": machine}
    return [Rule(IsUpgrade(), Socket, arguments), Rule(PathMatches(r".*"), Http, arguments)]


def is_admitted(handler: RequestHandler, machine: Machine, token: str | None) -> bool:
    """Return whether a request may pass; else the status is set."""
    request = handler.request
    state = machine.state
    if "Authorization" in request.headers:
        state.fault(f"{request.method} {request.path}: Authorization on a machine's host")
    is_start = request.method == "POST" and request.path.rstrip("/") in ("/api/kernels", "/api/sessions")
    if OTHER_PORT.match(request.host):
        handler.set_status(404)
    elif not machine.is_ready:
        handler.set_status(502)
    elif not machine.is_valid(token):
        machine.refused += 1
        handler.set_status(state.knobs.expired_status)
    elif is_start and state.used("kernel_start_fails"):
        handler.set_status(503)
    else:
        return True
    return False


def outgoing(machine: Machine, request: HTTPServerRequest) -> tuple[str, HTTPHeaders]:
    """Return the address inside, and the headers without our secrets and with the server's."""
    headers = HTTPHeaders()
    for name, value in request.headers.get_all():
        if name.lower() not in KEPT_BACK:
            headers.add(name, value)
    headers["Authorization"] = f"token {machine.server.token}"
    query = [pair for pair in parse_qsl(request.query, keep_blank_values=True) if pair[0] != ARGUMENT]
    return machine.server.url + request.path + ("?" + urlencode(query) if query else ""), headers


@stream_request_body
class Http(RequestHandler):
    """Passes a request and its reply through, piece by piece."""

    def initialize(self, machine: Machine) -> None:
        """Take the machine."""
        self.machine = machine
        # To the server, if the request passes.
        self.writer: asyncio.StreamWriter | None = None

    async def prepare(self) -> None:
        """Send the request's head; a refusal is answered after its body."""
        request = self.request
        if not is_admitted(self, self.machine, request.headers.get(HEADER)):
            return
        if request.path == "/api/colab/resources":
            self.write(self.machine.resources())
            return
        url, headers = outgoing(self.machine, request)
        place = urlsplit(url)
        try:
            self.reader, self.writer = await asyncio.open_connection(place.hostname, place.port)
        except OSError:
            self.set_status(502)
            return
        # Of HTTP/1.0, so that the reply ends with the connection.
        self.is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        headers["Host"] = place.netloc
        if self.is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        target = place.path + ("?" + place.query if place.query else "")
        lines = [f"{request.method} {target} HTTP/1.0", *(f"{name}: {value}" for name, value in headers.get_all())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def data_received(self, chunk: bytes) -> None:
        """Send a piece of the request's body."""
        if self.writer is None:
            return
        # A server that closed early has replied.
        with suppress(OSError):
            self.writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.is_chunked else chunk)
            await self.writer.drain()

    async def relay(self) -> None:
        """Return the reply."""
        if self.writer is None:
            self.finish()
            return
        if self.is_chunked:
            self.writer.write(b"0\r\n\r\n")
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            start, _, rest = head.partition("\r\n")
            status = parse_response_start_line(start)
            self.clear()
            self.set_status(status.code, status.reason)
            for name in ("Server", "Content-Type", "Date"):
                self.clear_header(name)
            for name, value in HTTPHeaders.parse(rest).get_all():
                if name.lower() not in KEPT_BACK:
                    self.add_header(name, value)
            if self.is_contents() and self.machine.state.used("lose_contents"):
                self.detach().close()
                return
            await self.flush()
            while piece := await self.reader.read(PIECE_BYTES):
                self.write(piece)
                await self.flush()
            self.finish()
        except (asyncio.IncompleteReadError, HTTPOutputError, OSError, StreamClosedError):
            # One of the two went.
            if not self._finished:
                self.detach().close()
        finally:
            self.writer.close()

    def is_contents(self) -> bool:
        """Return whether it writes a part of a file."""
        return self.request.method == "PUT" and self.request.path.startswith("/api/contents/")

    def on_connection_close(self) -> None:
        """Stop a download that nobody reads."""
        if self.writer is not None:
            self.writer.close()

    get = head = post = put = patch = delete = options = relay


class Socket(WebSocketHandler):
    """Passes the messages of a WebSocket through."""

    def initialize(self, machine: Machine) -> None:
        """Take the machine."""
        self.machine = machine
        self.upstream: WebSocketClientConnection | None = None

    def check_origin(self, origin: str) -> bool:
        """Let any page in."""
        del origin
        return True

    async def get(self, *arguments: str, **named: str) -> None:
        """Connect to the server first: its choice of a sub-protocol is ours."""
        token = self.request.headers.get(HEADER) or self.get_query_argument(ARGUMENT, None)
        if not is_admitted(self, self.machine, token):
            self.finish()
            return
        url, headers = outgoing(self.machine, self.request)
        for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
            del headers[name]
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        request = HTTPRequest("ws" + url.removeprefix("http"), headers=headers, request_timeout=0)
        names = [name.strip() for name in offered.split(",") if name.strip()]
        try:
            self.upstream = await websocket_connect(
                request, subprotocols=names or None, max_message_size=MAX_MESSAGE_BYTES
            )
        except HTTPClientError as error:
            self.set_status(error.code)
            self.finish()
            return
        except OSError:
            self.set_status(502)
            self.finish()
            return
        await super().get(*arguments, **named)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose what the server chose."""
        del subprotocols
        return self.upstream.selected_subprotocol if self.upstream else None

    def open(self, *arguments: str, **named: str) -> None:
        """Begin to pass what comes from the server."""
        del arguments, named
        self.set_nodelay(True)
        self.machine.sockets.add(self)
        self.task = asyncio.create_task(self.receive())

    async def receive(self) -> None:
        """Pass messages to the client until the server closes."""
        if (upstream := self.upstream) is None:
            return
        try:
            while (message := await upstream.read_message()) is not None:
                self.observe(message)
                await self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            return
        self.close(upstream.close_code, upstream.close_reason)

    async def on_message(self, message: str | bytes) -> None:
        """Pass a message to the server."""
        self.observe(message)
        waiting = self.machine.state.knobs.colab_request
        changed = with_prefix(message, asking(waiting[0])) if waiting else None
        if changed is not None:
            del waiting[0]
        if self.upstream is not None:
            with suppress(WebSocketClosedError):
                await self.upstream.write_message(changed or message, binary=isinstance(message, bytes))

    def observe(self, message: str | bytes) -> None:
        """Count its bytes; record a request of the kernel to the front end, and its reply."""
        self.machine.carry(len(message))
        if len(message) > MAX_COLAB_BYTES:
            return
        seen = message.encode() if isinstance(message, str) else message
        if b"colab_request" not in seen and b"colab_reply" not in seen:
            return
        decoding = decoded(message)
        records = self.machine.state.colab_requests
        if decoding is None:
            return
        channel, header, metadata, content = decoding
        if header.get("msg_type") == "colab_request":
            names = {"id": metadata.get("colab_msg_id"), "type": metadata.get("colab_request_type")}
            records.append(names | {"path": self.request.path, "reply": None})
        value = content.get("value")
        if channel == "stdin" and isinstance(value, dict) and value.get("type") == "colab_reply":
            for record in records:
                if record["id"] == value.get("colab_msg_id") and record["reply"] is None:
                    record["reply"] = "error" if "error" in value else "ok"

    def abort(self) -> None:
        """Break the connection, without a close frame."""
        if self.ws_connection is not None:
            self.ws_connection._abort()

    def on_close(self) -> None:
        """Close the other side."""
        self.machine.sockets.discard(self)
        if self.upstream is not None:
            self.upstream.close()

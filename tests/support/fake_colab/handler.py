"""What the requests to the control plane have in common."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from state import COLABORATORY, EMAIL, SCOPE
from tornado.web import RequestHandler

if TYPE_CHECKING:
    from state import State

# Put before JSON so that no page can load it as a script.
PREFIX = ")]}'\n"

HTML_400 = """<!DOCTYPE html>
<html lang=en><meta charset=utf-8><title>Error 400 (Bad Request)!!1</title>
<p><b>400.</b> <ins>That\u2019s an error.</ins>
<p>Your client has issued a malformed or illegal request. <ins>That\u2019s all we know.</ins>
"""

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}


class Handler(RequestHandler):
    """Logs the request, without secrets."""

    @property
    def state(self) -> State:
        """Return what the fake knows."""
        return cast("State", self.settings["state"])

    def prepare(self) -> None:
        """Log the request."""
        headers = self.request.headers
        authorization = headers.get("Authorization")
        is_valid = self.state.scopes_of(authorization) is not None
        self.state.requests.append(
            {
                "method": self.request.method,
                "path": self.request.path,
                "query": {name: self.get_query_argument(name) for name in self.request.query_arguments},
                "accept": headers.get("Accept"),
                "client_agent": headers.get("X-Colab-Client-Agent"),
                "tunnel": headers.get("X-Colab-Tunnel"),
                "has_form_token": "X-Goog-Colab-Token" in headers,
                "authorization": authorization and ("valid" if is_valid else "invalid"),
            }
        )

    def on_connection_close(self) -> None:
        """Let a request that hangs end."""
        self.closed().set()

    def closed(self) -> asyncio.Event:
        """Return the event of the client's going."""
        if not hasattr(self, "_closed"):
            self._closed = asyncio.Event()
        return self._closed

    async def hang(self) -> None:
        """Never answer."""
        await self.closed().wait()
        self.drop()

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.detach().close()

    def answer(self, body: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(body))

    def refuse(self, status: int, message: str, reason: str | None = None) -> None:
        """Answer with an error as Google's APIs have it."""
        error: dict[str, Any] = {"code": status, "message": message, "status": STATUS_NAMES[status]}
        if reason is not None:
            kind = "type.googleapis.com/google.rpc.ErrorInfo"
            error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
        self.answer({"error": error}, status)

    def is_signed_in(self, reason: str, *, needs_email: bool) -> bool:
        """Return whether the bearer token does; else it was answered, with `reason` if it has not the scope."""
        scopes = self.state.scopes_of(self.request.headers.get("Authorization"))
        if scopes is None or (needs_email and EMAIL not in scopes):
            self.refuse(401, "Request had invalid authentication credentials.")
        elif COLABORATORY not in scopes:
            self.refuse(403, "Request had insufficient authentication scopes.", reason)
        return not self._finished


def expanded(scopes: list[str]) -> list[str]:
    """Return scopes as Google grants them: long, and in an order of its own."""
    names = {"email": EMAIL, "profile": f"{SCOPE}userinfo.profile"}
    return sorted({names.get(scope, scope) for scope in scopes}, reverse=True)

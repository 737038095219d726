"""Parse request bodies, and build replies."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request

from ..core import errors
from ..files.ranges import RangeReply
from ..in_kernel.jsonline import dump
from .slots import Slots

# A smaller body is handed to the server whole, however slow its client is.
UNCOUNTED_BYTES = 1024 * 1024


def json_body() -> dict[str, Any]:
    """Return the request's JSON object. Raises InvalidArgument."""
    try:
        body = json.loads(request.get_data(cache=False) or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise errors.InvalidArgument("The body is not a JSON object.", 'Send one, such as {"code": "print(1)"}.')
    return body


def json_reply(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(dump(value), status, mimetype="application/json")


def stream_reply(reply: RangeReply, slots: Slots) -> Response:
    """Answer with a file or a part of it."""
    body = slots.hold(reply.body) if int(reply.headers["Content-Length"]) > UNCOUNTED_BYTES else reply.body
    return Response(body, reply.status, reply.headers, direct_passthrough=True)

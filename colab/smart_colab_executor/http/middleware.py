"""Common parts of all requests and replies: admission, headers, errors, the log."""

from __future__ import annotations

import gzip
import logging
import re
import time
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from .. import __version__
from ..core import errors
from ..files.digests import ALGORITHMS
from ..guard.admission import Admission, Sender
from ..guard.audit import Audit
from ..machine.endings import Endings
from ..machine.lifetime import age_sec
from ..wire import API_VERSION
from . import problems
from .problems import problem_reply, status_of

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
# What fits into one packet gains nothing.
GZIP_FROM_BYTES = 1400
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Endpoints that need no token: this one, and the files of the page.
OPEN_ENDPOINT = "health"
OPEN_PREFIX = "page:"


def install_middleware(app: Flask, boot_id: str, admission: Admission, audit: Audit, endings: Endings) -> None:
    """Add admission, headers and error replies to all routes; the health and the page need no token."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    _add_admission(app, admission, audit, endings)
    _add_reply_headers(app, boot_id)
    _add_error_handlers(app)


def sender() -> Sender:
    """Return the sender of the current request."""
    found: Sender = g.sender
    return found


def request_id() -> str:
    """Return the id that the request carries, or the one generated for it."""
    found: str = g.request_id
    return found


def _is_page() -> bool:
    return (request.endpoint or "").startswith(OPEN_PREFIX)


def _add_admission(app: Flask, admission: Admission, audit: Audit, endings: Endings) -> None:
    def is_open() -> bool:
        return request.endpoint == OPEN_ENDPOINT or _is_page()

    @app.before_request
    def admit() -> None:
        # Each use of `request` and `g` looks up the thread's own.
        headers, needs_token = request.headers, not is_open()
        given = headers.get("X-Request-Id", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        g.began = time.monotonic()
        g.is_logged = True
        g.sender = origin = admission.sender(request.remote_addr or "", headers.get)
        # Runs before an unknown path becomes a 404.
        try:
            admission.check_address(origin)
            if needs_token:
                admission.check_token(origin, headers.get("Authorization"))
        except errors.Refused as error:
            # A flood of refusals must fill neither the audit nor the log.
            g.is_logged = audit.refused(str(origin), status_of(error), error.code, request.path)
            raise
        if needs_token:
            endings.note_use()
            _check_version(headers.get("X-Smart-Colab-Api"))


def _add_reply_headers(app: Flask, boot_id: str) -> None:
    @app.after_request
    def finish(reply: Response) -> Response:
        add = reply.headers.add
        add("X-Boot-Id", boot_id)
        add("X-Request-Id", g.request_id)
        add("X-Smart-Colab-Api", str(API_VERSION))
        if (age := age_sec()) is not None:
            add("X-Machine-Age", str(age))
        add("X-Smart-Colab-Digests", ", ".join(ALGORITHMS))
        _compress(reply)
        # The page's files are many, and served to anybody.
        if g.is_logged and not (_is_page() and reply.status_code < 400):
            spent_ms = (time.monotonic() - g.began) * 1000
            # Quoted, so that no path can forge lines.
            log.info("%s %r %d %.0f ms %s", request.method, request.path, reply.status_code, spent_ms, g.request_id)
        return reply


def _add_error_handlers(app: Flask) -> None:
    @app.errorhandler(errors.ExecutorError)
    def known(error: errors.ExecutorError) -> Response:
        return problem_reply(error)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        match error:
            case MethodNotAllowed():
                return problem_reply(problems.MethodNotAllowed(sorted(error.valid_methods or [])))
            case RequestEntityTooLarge():
                return problem_reply(problems.BodyTooLarge(MAX_BODY_BYTES))
            case _ if error.code == 404:
                return problem_reply(
                    errors.NotFound(f"There is no {request.path[:200]} here.", "API.md lists the routes.")
                )
            case _:
                return problem_reply(
                    errors.InvalidArgument("The request is malformed.", "API.md shows what is expected.")
                )

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        log.error("request %s failed", g.request_id, exc_info=error)
        return problem_reply(
            errors.Internal(f"Request {g.request_id} failed because of a fault in the executor.", "See its log.")
        )


def _check_version(given: str | None) -> None:
    """Raise IncompatibleBridge for another version of the API; a request without the header passes."""
    if given is None:
        return
    if not re.fullmatch(r"[0-9]{1,9}", given):
        raise errors.IncompatibleBridge(
            "X-Smart-Colab-Api is not a version number.", f"Send {API_VERSION}, or leave the header out."
        )
    if int(given) == API_VERSION:
        return
    if int(given) > API_VERSION:
        hint = (
            f"The executor ({__version__}) is the older side: start the notebook, or the smart-colab-executor package, "
            "of the bridge's version."
        )
    else:
        hint = "The bridge is the older side: update smart-colab, and restart the client that starts it."
    raise errors.IncompatibleBridge(
        f"The bridge speaks version {int(given)} of the executor's API, this executor version {API_VERSION}.",
        hint,
    )


def _compress(reply: Response) -> None:
    if reply.mimetype not in ("application/json", "application/problem+json") or reply.direct_passthrough:
        return
    body = reply.get_data()
    if len(body) <= GZIP_FROM_BYTES:
        return
    reply.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0:
        reply.set_data(gzip.compress(body, compresslevel=1))
        reply.content_encoding = "gzip"

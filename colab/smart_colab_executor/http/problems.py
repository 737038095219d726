"""Errors as replies: the status and the headers of each, and `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response

from ..core import errors
from ..in_kernel.jsonline import dump
from ..wire.problem import Problem


class MethodNotAllowed(errors.InvalidArgument):
    """The route exists, but not for this method."""

    def __init__(self, allowed: list[str]) -> None:
        super().__init__("This route does not support this method.", f"It supports: {', '.join(allowed)}.")
        self.allowed = allowed


class BodyTooLarge(errors.InvalidArgument):
    """The request's body is over the limit (in bytes)."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The body is larger than {limit} bytes.", "Put large data into a file and read it from the code."
        )


# A class that is not listed has the status of its nearest listed base class.
STATUSES: dict[type[errors.ExecutorError], int] = {
    errors.InvalidArgument: 400,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    errors.RangeNotSatisfiable: 416,
    errors.IncompatibleBridge: 400,
    errors.Unauthorized: 401,
    errors.AddressNotAllowed: 403,
    errors.TooManyFailures: 429,
    errors.ForbiddenByPolicy: 403,
    errors.ConsentNeeded: 403,
    errors.OutsideRoot: 403,
    errors.NotFound: 404,
    errors.JobConflict: 409,
    errors.NotAsking: 409,
    errors.IsADirectory: 409,
    errors.TooLarge: 413,
    errors.NoPreview: 422,
    errors.Incomplete: 409,
    errors.Damaged: 409,
    errors.FileChanged: 412,
    errors.BootChanged: 412,
    errors.Busy: 503,
    errors.Occupied: 409,
    errors.DiskFull: 507,
    errors.Internal: 500,
    errors.ExecutorError: 500,
}


def status_of(error: errors.ExecutorError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(error: errors.ExecutorError) -> Problem:
    """Return the body of an error's reply."""
    status = status_of(error)
    made: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if error.retry_after_sec is not None:
        made["retry_after_sec"] = error.retry_after_sec
    return made


def problem_reply(error: errors.ExecutorError) -> Response:
    """Answer with an error."""
    return Response(dump(problem(error)), status_of(error), _headers(error), mimetype="application/problem+json")


def _headers(error: errors.ExecutorError) -> dict[str, str]:
    match error:
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case errors.RangeNotSatisfiable():
            return {"Content-Range": f"bytes */{error.size}"}
        case errors.Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case _ if error.retry_after_sec is not None:
            return {"Retry-After": str(error.retry_after_sec)}
        case _:
            return {}

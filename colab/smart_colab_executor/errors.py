"""What can go wrong in a request, each with its HTTP status and its stable code.

ExecutorError
├── InvalidArgument       400 invalid_argument   a malformed body, parameter, id or name
│   ├── MethodNotAllowed  405 invalid_argument
│   ├── BodyTooLarge      413 invalid_argument
│   └── RangeNotSatisfiable 416 invalid_argument (names the size)
├── Unauthorized          401 unauthorized
├── NotFound              404 not_found          no such job, session, file, blob or route
├── JobConflict           409 job_conflict       the same job id with another body
├── IsADirectory          409 is_a_directory     a file was wanted
├── Busy                  409 or 503 busy        later it may work
├── DiskFull              507 disk_full          nothing was run
└── Internal              500 internal           a fault of ours
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar


class ExecutorError(Exception):
    """A failure that its caller is told about as `application/problem+json`.

    `detail` is one plain sentence, `hint` says what to do next; neither holds a secret.
    """

    status: int = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def problem(self) -> dict[str, Any]:
        """The body of the reply (RFC 9457)."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            "retryable": self.retryable,
        }

    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        return {}


class InvalidArgument(ExecutorError):
    """The request itself is wrong; sending it again changes nothing."""

    status = 400
    code = "invalid_argument"


class MethodNotAllowed(InvalidArgument):
    """The route exists, but not for this method."""

    status = 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__("This route does not know this method.", f"It knows: {', '.join(allowed)}.")
        self.allowed = allowed

    def headers(self) -> dict[str, str]:  # noqa: D102
        return {"Allow": ", ".join(self.allowed)}


class BodyTooLarge(InvalidArgument):
    """The request's body is over the limit (in bytes)."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The body is larger than {limit} bytes.", "Put large data into a file and read it from the code."
        )


class RangeNotSatisfiable(InvalidArgument):
    """The Range lies outside of what there is; `size` in bytes."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The range lies outside of the {size} bytes there are.", "Ask for bytes below the size in Content-Range."
        )
        self.size = size

    def headers(self) -> dict[str, str]:  # noqa: D102
        return {"Content-Range": f"bytes */{self.size}"}


class Unauthorized(ExecutorError):
    """The token is missing or wrong."""

    status = 401
    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "The token is missing or wrong.", "Send the executor's token as 'Authorization: Bearer TOKEN'."
        )

    def headers(self) -> dict[str, str]:  # noqa: D102
        return {"WWW-Authenticate": "Bearer"}


class NotFound(ExecutorError):
    """No such job, session, file, blob or route."""

    status = 404
    code = "not_found"


class JobConflict(ExecutorError):
    """The job id is taken by another body."""

    status = 409
    code = "job_conflict"


class IsADirectory(ExecutorError):
    """A file was wanted, the path is a folder."""

    status = 409
    code = "is_a_directory"


class Busy(ExecutorError):
    """Not now: 409 while code runs, 503 while a kernel or the executor cannot take it."""

    status = 503
    code = "busy"
    retryable = True

    def __init__(self, detail: str, hint: str = "", *, status: int = 503) -> None:
        super().__init__(detail, hint)
        self.status = status


class DiskFull(ExecutorError):
    """The job could not be written down; nothing was run."""

    status = 507
    code = "disk_full"


class Internal(ExecutorError):
    """A fault of ours; the detail names the request id and nothing else."""

    status = 500
    code = "internal"

"""What can go wrong in a request, each with its HTTP status and its stable code.

ExecutorError
├── InvalidArgument       400 invalid_argument   a malformed body, parameter, id or name
│   ├── MethodNotAllowed  405 invalid_argument
│   ├── BodyTooLarge      413 invalid_argument
│   └── RangeNotSatisfiable 416 invalid_argument (names the size)
├── IncompatibleBridge    400 incompatible_bridge the sender speaks another version of the API
├── Refused                                      before anything was done or told
│   ├── Unauthorized      401 unauthorized
│   ├── AddressNotAllowed 403 address_not_allowed
│   └── TooManyFailures   429 unauthorized       too many wrong tokens from this address
├── OutsideRoot           403 outside_root       a path that leads out of the content root
├── NotFound              404 not_found          no such job, session, file, blob or route
├── JobConflict           409 job_conflict       the same job id with another body
├── IsADirectory          409 is_a_directory     a file was wanted
├── TooLarge              413 too_large          a file in a bundle that is no small one; told in the bundle
├── Incomplete            409 incomplete         an upload lacks pieces
├── Damaged               409 damaged            an upload's bytes are not those that were named
├── BootChanged           412 boot_changed       the job was meant for an earlier executor
├── Busy                  409 or 503 busy        later it may work
├── DiskFull              507 disk_full          a job was not run, or an upload does not fit
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
    retryable: bool = False
    retry_after_sec: int | None = None
    """How long to wait before it can work, where that is known."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def problem(self) -> dict[str, Any]:
        """The body of the reply (RFC 9457)."""
        wait = {} if self.retry_after_sec is None else {"retry_after_sec": self.retry_after_sec}
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            "retryable": self.retryable,
            **wait,
        }

    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        return {} if self.retry_after_sec is None else {"Retry-After": str(self.retry_after_sec)}


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


class IncompatibleBridge(ExecutorError):
    """The sender speaks another version of the API."""

    status = 400
    code = "incompatible_bridge"


class Refused(ExecutorError):
    """The sender may not pass; nothing was done for it."""


class Unauthorized(Refused):
    """The token is missing or wrong."""

    status = 401
    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "The token is missing or wrong.", "Send the executor's token as 'Authorization: Bearer TOKEN'."
        )

    def headers(self) -> dict[str, str]:  # noqa: D102
        return {"WWW-Authenticate": "Bearer"}


class AddressNotAllowed(Refused):
    """The executor does not serve the sender's address."""

    status = 403
    code = "address_not_allowed"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"This executor does not serve the address {address}.",
            "Add the address to the executor's --allow-ips (ALLOWED_IPS in the notebook), and start it anew.",
        )


class TooManyFailures(Refused):
    """The token is wrong, and too many wrong ones came from the sender's address."""

    status = 429
    code = "unauthorized"
    retryable = True

    def __init__(self, retry_after_sec: int) -> None:
        super().__init__(
            "The token is wrong, and too many wrong ones came from this address.",
            f"Send the right token, which always passes; wait {retry_after_sec} s before another try.",
        )
        self.retry_after_sec = retry_after_sec


class OutsideRoot(ExecutorError):
    """A path that leads out of the content root."""

    status = 403
    code = "outside_root"


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


class TooLarge(ExecutorError):
    """A file that is no small one; only ever told within a bundle."""

    status = 413
    code = "too_large"


class Incomplete(ExecutorError):
    """An upload was to be finished and lacks pieces."""

    status = 409
    code = "incomplete"


class Damaged(ExecutorError):
    """An upload's bytes do not have its SHA-256; they were thrown away."""

    status = 409
    code = "damaged"
    retryable = True


class BootChanged(ExecutorError):
    """The job was meant for another start of the executor, and this one does not know it."""

    status = 412
    code = "boot_changed"


class Busy(ExecutorError):
    """Not now: 409 while code runs or too much waits, 503 while a kernel or the executor cannot take it."""

    status = 503
    code = "busy"

    def __init__(
        self,
        detail: str,
        hint: str = "",
        *,
        status: int = 503,
        retryable: bool = True,
        retry_after_sec: int | None = None,
    ) -> None:
        super().__init__(detail, hint)
        self.status = status
        self.retryable = retryable
        self.retry_after_sec = retry_after_sec


class DiskFull(ExecutorError):
    """The job could not be written down, and nothing was run; or a file that was sent does not fit."""

    status = 507
    code = "disk_full"


class Internal(ExecutorError):
    """A fault of ours; the detail names the request id and nothing else."""

    status = 500
    code = "internal"

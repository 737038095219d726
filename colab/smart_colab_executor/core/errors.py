"""Errors of requests, each with its stable code; `http/problems.py` has the statuses.

ExecutorError
├── InvalidArgument       invalid_argument    a malformed body, parameter, id or name
│   └── RangeNotSatisfiable                   names the size
├── IncompatibleBridge    incompatible_bridge the sender speaks another version of the API
├── Refused                                   before anything was done
│   ├── Unauthorized      unauthorized
│   ├── AddressNotAllowed address_not_allowed
│   └── TooManyFailures   unauthorized        too many wrong tokens from this address
├── OutsideRoot           outside_root        a path outside the content root
├── NotFound              not_found           no such job, session, file, blob or route
├── JobConflict           job_conflict        the same job id with another body
├── NotAsking             not_asking          the job's code does not ask this question
├── IsADirectory          is_a_directory      a file was wanted
├── TooLarge              too_large           a file too large for a bundle; reported in the bundle
├── NoPreview             no_preview          a file is not what it claims to be, or exceeds a preview's limits
├── Incomplete            incomplete          an upload lacks pieces
├── Damaged               damaged             an upload's bytes do not match its SHA-256
├── FileChanged           file_changed        a file is no longer the expected one
├── BootChanged           boot_changed        the job was meant for an earlier executor
├── Busy                  busy                may work later
│   └── Occupied                              the session or file is in use
├── DiskFull              disk_full           a job was not run, or an upload does not fit
└── Internal              internal            a fault of the executor
"""

from __future__ import annotations

from typing import ClassVar


class ExecutorError(Exception):
    """A failure, returned to the client as `application/problem+json`.

    `detail` is one plain sentence, `hint` says what to do next; neither holds a secret.
    """

    code: ClassVar[str] = "internal"
    retryable: bool = False
    retry_after_sec: int | None = None
    """Seconds to wait before a retry, where that is known."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class InvalidArgument(ExecutorError):
    """The request itself is wrong; sending it again changes nothing."""

    code = "invalid_argument"


class RangeNotSatisfiable(InvalidArgument):
    """The Range lies outside the content; `size` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The range lies outside the {size} bytes that exist.", "Ask for bytes below the size in Content-Range."
        )
        self.size = size


class IncompatibleBridge(ExecutorError):
    """The sender speaks another version of the API."""

    code = "incompatible_bridge"


class Refused(ExecutorError):
    """The request was refused before anything was done."""


class Unauthorized(Refused):
    """The token is missing or wrong."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "The token is missing or wrong.", "Send the executor's token as 'Authorization: Bearer TOKEN'."
        )


class AddressNotAllowed(Refused):
    """The executor does not serve the sender's address."""

    code = "address_not_allowed"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"This executor does not serve the address {address}.",
            "Add the address to the executor's --allow-ips (ALLOWED_IPS in the notebook), and restart it.",
        )


class TooManyFailures(Refused):
    """The token is wrong, and the sender's address has sent too many wrong ones."""

    code = "unauthorized"
    retryable = True

    def __init__(self, retry_after_sec: int) -> None:
        super().__init__(
            "The token is wrong, and this address has sent too many wrong ones.",
            f"Send the right token, which always passes; wait {retry_after_sec} s before another try.",
        )
        self.retry_after_sec = retry_after_sec


class ForbiddenByPolicy(ExecutorError):
    """The policy forbids what the code does; nothing was run."""

    code = "forbidden_by_policy"


class ConsentNeeded(ExecutorError):
    """The policy wants the user's consent to what the detail says; nothing was run."""

    code = "consent_needed"


class OutsideRoot(ExecutorError):
    """The path is outside the content root."""

    code = "outside_root"


class NotFound(ExecutorError):
    """No such job, session, file, blob or route."""

    code = "not_found"


class JobConflict(ExecutorError):
    """The job id is in use with another body."""

    code = "job_conflict"


class NotAsking(ExecutorError):
    """The job's code does not ask this question now."""

    code = "not_asking"


class IsADirectory(ExecutorError):
    """The path is a folder where a file is needed."""

    code = "is_a_directory"


class TooLarge(ExecutorError):
    """A file is too large for a bundle; reported only within a bundle."""

    code = "too_large"


class NoPreview(ExecutorError):
    """A file cannot be read as the type that it claims to be, or within the limits."""

    code = "no_preview"


class Incomplete(ExecutorError):
    """An upload cannot be finished: pieces are missing."""

    code = "incomplete"


class Damaged(ExecutorError):
    """An upload's bytes do not match its SHA-256 and were discarded."""

    code = "damaged"
    retryable = True


class FileChanged(ExecutorError):
    """The file to be replaced is not the expected one; its bytes stay."""

    code = "file_changed"


class BootChanged(ExecutorError):
    """The job was sent to an earlier start of the executor and is unknown to this one."""

    code = "boot_changed"


class Busy(ExecutorError):
    """A kernel or the executor cannot take the request now."""

    code = "busy"

    def __init__(
        self, detail: str, hint: str = "", *, retryable: bool = True, retry_after_sec: int | None = None
    ) -> None:
        super().__init__(detail, hint)
        self.retryable = retryable
        self.retry_after_sec = retry_after_sec


class Occupied(Busy):
    """The session runs code or has too many waiting jobs, or the file changes or is too large to search in time."""


class DiskFull(ExecutorError):
    """The job could not be recorded, and nothing was run; or an uploaded file does not fit."""

    code = "disk_full"


class Internal(ExecutorError):
    """A fault of the executor; the detail names only the request id."""

    code = "internal"

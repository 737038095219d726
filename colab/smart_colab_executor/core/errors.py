"""What can go wrong in a request, each with its stable code; `http/problems.py` has the statuses.

ExecutorError
├── InvalidArgument       invalid_argument    a malformed body, parameter, id or name
│   └── RangeNotSatisfiable                   names the size
├── IncompatibleBridge    incompatible_bridge the sender speaks another version of the API
├── Refused                                   before anything was done or told
│   ├── Unauthorized      unauthorized
│   ├── AddressNotAllowed address_not_allowed
│   └── TooManyFailures   unauthorized        too many wrong tokens from this address
├── OutsideRoot           outside_root        a path that leads out of the content root
├── NotFound              not_found           no such job, session, file, blob or route
├── JobConflict           job_conflict        the same job id with another body
├── IsADirectory          is_a_directory      a file was wanted
├── TooLarge              too_large           a file in a bundle that is no small one; told in the bundle
├── Incomplete            incomplete          an upload lacks pieces
├── Damaged               damaged             an upload's bytes are not those that were named
├── BootChanged           boot_changed        the job was meant for an earlier executor
├── Busy                  busy                later it may work
│   └── Occupied                              what is asked for is in use
├── DiskFull              disk_full           a job was not run, or an upload does not fit
└── Internal              internal            a fault of ours
"""

from __future__ import annotations

from typing import ClassVar


class ExecutorError(Exception):
    """A failure that its caller is told about as `application/problem+json`.

    `detail` is one plain sentence, `hint` says what to do next; neither holds a secret.
    """

    code: ClassVar[str] = "internal"
    retryable: bool = False
    retry_after_sec: int | None = None
    """How long to wait before it can work, where that is known."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class InvalidArgument(ExecutorError):
    """The request itself is wrong; sending it again changes nothing."""

    code = "invalid_argument"


class RangeNotSatisfiable(InvalidArgument):
    """The Range lies outside of what there is; `size` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The range lies outside of the {size} bytes there are.", "Ask for bytes below the size in Content-Range."
        )
        self.size = size


class IncompatibleBridge(ExecutorError):
    """The sender speaks another version of the API."""

    code = "incompatible_bridge"


class Refused(ExecutorError):
    """The sender may not pass; nothing was done for it."""


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
            "Add the address to the executor's --allow-ips (ALLOWED_IPS in the notebook), and start it anew.",
        )


class TooManyFailures(Refused):
    """The token is wrong, and too many wrong ones came from the sender's address."""

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

    code = "outside_root"


class NotFound(ExecutorError):
    """No such job, session, file, blob or route."""

    code = "not_found"


class JobConflict(ExecutorError):
    """The job id is taken by another body."""

    code = "job_conflict"


class IsADirectory(ExecutorError):
    """A file was wanted, the path is a folder."""

    code = "is_a_directory"


class TooLarge(ExecutorError):
    """A file that is no small one; only ever told within a bundle."""

    code = "too_large"


class Incomplete(ExecutorError):
    """An upload was to be finished and lacks pieces."""

    code = "incomplete"


class Damaged(ExecutorError):
    """An upload's bytes do not have its SHA-256; they were thrown away."""

    code = "damaged"
    retryable = True


class BootChanged(ExecutorError):
    """The job was meant for another start of the executor, and this one does not know it."""

    code = "boot_changed"


class Busy(ExecutorError):
    """Not now: a kernel or the executor cannot take it."""

    code = "busy"

    def __init__(
        self, detail: str, hint: str = "", *, retryable: bool = True, retry_after_sec: int | None = None
    ) -> None:
        super().__init__(detail, hint)
        self.retryable = retryable
        self.retry_after_sec = retry_after_sec


class Occupied(Busy):
    """Not now: code runs in the session, too much waits there, or the file is too large to be searched in time."""


class DiskFull(ExecutorError):
    """The job could not be written down, and nothing was run; or a file that was sent does not fit."""

    code = "disk_full"


class Internal(ExecutorError):
    """A fault of ours; the detail names the request id and nothing else."""

    code = "internal"

"""The request for a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.arguments import session_name, text
from ..core.errors import InvalidArgument
from ..in_kernel.clusters import ADDRESS

MAX_TIMEOUT_SEC = 43_200
MAX_BATCH_SIZE = 100_000
DEFAULT_SESSION = "main"
CLUSTER = re.compile(rf"dask|local(:[1-9][0-9]{{0,3}})?|{ADDRESS.pattern}|[^\W\d]\w{{0,100}}")
CLUSTERS = "Name 'local', 'local:WORKERS', 'dask', an address such as 'tcp://host:8786', or a variable of the setup."


@dataclass(frozen=True)
class JobRequest:
    """A job's request with the defaults filled in; equal for the same job."""

    code: str
    session: str = DEFAULT_SESSION
    timeout_sec: float = 600
    loop: dict[str, Any] | None = None
    kernel_id: str | None = None
    folder: str | None = None
    answers: bool = False

    def sources(self) -> list[str]:
        """Return the code that runs, in the order in which it does."""
        loop = self.loop or {}
        setups = dict.fromkeys(filter(None, (loop.get("setup"), loop.get("worker_setup"))))
        return [*setups, self.code]

    def described_loop(self) -> dict[str, Any] | None:
        """Return the loop for a job's description: without the setup and the numbers, which may be long."""
        long = ("setup", "worker_setup", "numbers")
        return self.loop and {name: value for name, value in self.loop.items() if name not in long}

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> JobRequest:
        """Parse the body of a request. Raises InvalidArgument."""
        code = text(body.get("code"), "code", 'Send {"code": "print(1)"}.')
        timeout = body.get("timeout_sec", 600)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 1 <= timeout <= MAX_TIMEOUT_SEC:
            raise InvalidArgument(
                "'timeout_sec' must be a number of seconds.", f"It may be from 1 to {MAX_TIMEOUT_SEC}."
            )
        loop, kernel_id = body.get("loop"), body.get("kernel_id")
        if kernel_id is not None and not isinstance(kernel_id, str):
            raise InvalidArgument(
                "'kernel_id' must be a string.", "Send the kernel_id that an earlier job ran in, or none."
            )
        folder, answers = body.get("folder"), body.get("answers", False)
        if not isinstance(answers, bool):
            raise InvalidArgument("'answers' must be true or false.", "Send true if the user can be asked.")
        return cls(
            code,
            session_name(body.get("session", DEFAULT_SESSION)),
            timeout,
            None if loop is None else _loop(loop),
            kernel_id,
            None if folder is None else text(folder, "folder", "Send the path of a folder, or none."),
            answers,
        )


def _loop(loop: object) -> dict[str, Any]:
    if not isinstance(loop, Mapping):
        raise InvalidArgument("'loop' must be an object.", 'Send {"start": 0, "stop": 10, "total": 10}.')
    stop = loop.get("stop")
    parsed: dict[str, Any] = {"start": loop.get("start", 0), "stop": stop, "total": loop.get("total", stop)}
    for name, value in parsed.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise InvalidArgument(f"'loop.{name}' must be a whole number.", "It may not be negative.")
    if parsed["start"] > parsed["stop"]:
        raise InvalidArgument("'loop.start' is greater than 'loop.stop'.", "The loop runs from start to stop - 1.")
    on_error = loop.get("on_error", "stop")
    if on_error not in ("stop", "skip"):
        raise InvalidArgument("'loop.on_error' is unknown.", "It may be 'stop' or 'skip'.")
    batch_size, setup = loop.get("batch_size"), loop.get("setup")
    if batch_size is not None and (
        isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= MAX_BATCH_SIZE
    ):
        raise InvalidArgument(
            "'loop.batch_size' must be a whole number of iterations.",
            f"It may be from 1 to {MAX_BATCH_SIZE}; leave it out to run all in one step.",
        )
    if setup is not None:
        text(setup, "loop.setup", "Send the code that runs before the first iteration, or none.")
    parsed |= {"on_error": on_error, "batch_size": batch_size, "setup": setup}
    parsed |= {"cluster": loop.get("cluster"), "worker_setup": loop.get("worker_setup")}
    if parsed["cluster"] is not None and not CLUSTER.fullmatch(text(parsed["cluster"], "loop.cluster", CLUSTERS)):
        raise InvalidArgument("'loop.cluster' is unknown.", CLUSTERS)
    if parsed["worker_setup"] is not None:
        text(parsed["worker_setup"], "loop.worker_setup", "Send the code that each worker process runs, or none.")
    if (numbers := loop.get("numbers")) is not None:
        parsed["numbers"] = _numbers(numbers, parsed["stop"])
    return parsed


def _numbers(numbers: object, stop: int) -> list[int]:
    if (
        not isinstance(numbers, list)
        or len(numbers) != stop
        or not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**63 for one in numbers)
    ):
        raise InvalidArgument(
            "'loop.numbers' must list a whole number for each iteration up to 'loop.stop'.",
            "Leave it out for a loop over range(start, stop).",
        )
    return numbers

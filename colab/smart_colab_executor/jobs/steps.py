"""The steps of a job, one cell each: a loop's setup, then its batches. Other code is one step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from ..in_kernel.message_ids import message_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .request import JobRequest


@dataclass(frozen=True)
class Step:
    """The code of one cell. `batch`: the iterations of a loop's body, None for other code."""

    message_id: str
    code: str
    batch: range | None = None
    # Whether the previous step ran the same code.
    is_repeated: bool = False


def steps(job_id: str, request: JobRequest) -> Iterator[Step]:
    """Yield the steps of a job in order; a loop has at least one batch, which may be empty."""
    ids = (message_id(job_id, number) for number in count(1))
    if (loop := request.loop) is None:
        yield Step(next(ids), request.code)
        return
    if loop["setup"]:
        yield Step(next(ids), loop["setup"])
    start, stop = loop["start"], loop["stop"]
    size = loop["batch_size"] or max(stop - start, 1)
    for first in range(start, max(stop, start + 1), size):
        yield Step(next(ids), request.code, range(first, min(first + size, stop)), is_repeated=first > start)

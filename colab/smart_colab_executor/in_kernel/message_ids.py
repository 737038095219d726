"""The ids of the messages that run a job's steps: the job's id for the first, with a number for the others.

Also in the kernel, as `_smart_colab.message_ids`; standard library only. Output of a step's threads and child processes
carries the id of that step's message, and belongs to the job.
"""

from __future__ import annotations

SEPARATOR = "."


def message_id(job_id: str, number: int) -> str:
    """Return the id of a step's message; `number` counts from 1."""
    return job_id if number == 1 else f"{job_id}{SEPARATOR}{number}"


def job_of(message_id: str) -> str:
    """Return the id of the job whose step a message runs; other messages' ids are returned unchanged."""
    return message_id.partition(SEPARATOR)[0]

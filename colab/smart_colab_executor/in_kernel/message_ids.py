"""The ids of the messages that run a job's steps: the job's own for the first, with a number for the others.

Also in the kernel, as `_smart_colab.message_ids`; standard library alone. What a thread or a child of any step puts out
names that step's message, and belongs to the job.
"""

from __future__ import annotations

SEPARATOR = "."


def message_id(job_id: str, number: int) -> str:
    """The id of the `number`-th step's message, from 1."""
    return job_id if number == 1 else f"{job_id}{SEPARATOR}{number}"


def job_of(message_id: str) -> str:
    """The id of the job that a message runs a step of; any other message's id as it is."""
    return message_id.partition(SEPARATOR)[0]

"""Requests for loops that run in steps, and readers of their events."""

from __future__ import annotations

from typing import Any

from harness import Finished


def loop(stop: int, batch_size: int | None = None, setup: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "start": 0,
        "stop": stop,
        "total": stop,
        "on_error": "stop",
        "batch_size": batch_size,
        "setup": setup,
    } | more


def batches(job: Finished) -> list[tuple[int, int]]:
    return [(event["start"], event["stop"]) for event in job.of("batch")]


def iterations(job: Finished) -> list[int]:
    return [event["iteration"] for event in job.of("progress")]

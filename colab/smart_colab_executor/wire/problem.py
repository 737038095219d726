"""Errors."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str
    retryable: bool
    retry_after_sec: NotRequired[int]

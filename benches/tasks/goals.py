"""Whether a task reached its goal."""

from __future__ import annotations

import re


class MissedGoalError(Exception):
    """A task did not reach its goal, so its costs mean nothing."""


def expect(text: str, *patterns: str) -> re.Match[str]:
    """Fail unless the text matches all of them; returns the last match."""
    found = None
    for pattern in patterns:
        found = re.search(pattern, text)
        if found is None:
            raise MissedGoalError(f"nothing like {pattern!r} in:\n{text[-2000:]}")
    if found is None:
        raise ValueError("no pattern")
    return found


def assure(is_reached: object, what: str) -> None:
    """Fail unless the goal is reached."""
    if not is_reached:
        raise MissedGoalError(what)


def rows_of(text: str) -> list[str]:
    """Return the rows of a list: lines of a table, or objects in JSON."""
    return text.replace("},{", "},\n{").splitlines()

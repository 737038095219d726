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


def row_with(word: str, text: str) -> str:
    """Return the row of a list that has this word: a line of a table, or an object in JSON."""
    return next((row for row in text.replace("},{", "},\n{").splitlines() if word in row), "")

"""What a preview is asked for, what it answers, and how it fails."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

TABLE_ROWS = 20
# Of a reading that could go on, such as the listing of a compressed archive: then what was found so far is shown.
PATIENCE_SEC = 5.0


@dataclass(frozen=True)
class Request:
    """A file to preview; the file itself is open as descriptor 0."""

    kind: str
    """Its media type, by its content."""
    path: str
    """Where it really lies."""
    rows: int | None
    """How many rows or entries to show, where that was asked for."""
    max_memory_bytes: int
    user_site: str | None
    """Where packages of the user's own are installed, if anywhere."""


@dataclass(frozen=True)
class Preview:
    """What is shown of a file; no text where nothing can be said of such a file."""

    text: str | None
    is_cut: bool = False
    text_mime: str | None = None
    """Of a text that is in the file itself."""
    note: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        return {"text": self.text, "text_mime": self.text_mime, "is_cut": self.is_cut, "note": self.note}


class Unreadable(Exception):
    """The file is not what it says that it is, or not whole. The text is the end of a sentence."""


class Patience:
    """Until when a reading may go on, from now."""

    def __init__(self, seconds: float = PATIENCE_SEC) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether to end it."""
        return time.monotonic() >= self._end

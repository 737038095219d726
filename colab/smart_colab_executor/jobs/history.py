"""The earlier starts of executors on a state folder."""

from __future__ import annotations

from pathlib import Path

from ..core.disk import write_atomically
from ..core.spoiled import set_aside

MAX_BOOTS = 1000


def note_boot(state: Path, boot_id: str) -> frozenset[str]:
    """Record this start; return its id and the earlier ones. Raises OSError.

    A job sent to any of these starts was sent to this folder: if it is not here it was never accepted, so it never ran.
    """
    path = state / "boots"
    try:
        earlier = path.read_text("utf-8").split() if path.exists() else []
    except (OSError, ValueError) as error:
        set_aside(path, error)
        earlier = []
    boots = [*earlier[1 - MAX_BOOTS :], boot_id]
    write_atomically(path, "\n".join(boots).encode())
    return frozenset(boots)

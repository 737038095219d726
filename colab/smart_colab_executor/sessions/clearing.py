"""Giving the memory of a session's kernel back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.errors import Busy, NotFound, Occupied
from ..kernels.executions import KernelDied, KernelSilent

if TYPE_CHECKING:
    from ..kernels.channels import KernelChannels

CLEANUP_TIMEOUT_SEC = 20.0
MAX_NAMES_SHOWN = 20


def nothing_to_clear(session: str, names: list[str] | None) -> dict[str, Any]:
    """Return what a cleanup does without a kernel. Raises NotFound where names are given."""
    if names:
        _report_unknown(session, names, [])
    nothing = {"cleared_variables": [], "held_by": [], "figures_closed": 0, "freed_mb": 0.0}
    return {**nothing, "collected_objects": 0, "cuda_cache_emptied": False}


async def clear_kernel(kernel: KernelChannels, session: str, names: list[str] | None) -> dict[str, Any]:
    """Clear a kernel's variables, or those of these names, and return what was freed. Raises Busy, NotFound."""
    before = kernel.memory_mb()
    try:
        done: dict[str, Any] = await kernel.request(
            "cleanup",
            channel="shell",
            patience=CLEANUP_TIMEOUT_SEC,
            names=names,
            until=time.time() + CLEANUP_TIMEOUT_SEC,
        )
    except (KernelDied, KernelSilent) as error:
        if kernel.is_adopted:
            raise Occupied("The kernel runs a cell of its notebook.", "Wait for it to end.") from error
        raise Busy("The kernel did not answer.", "Restart the session if this repeats.") from error
    if "unknown" in done:
        _report_unknown(session, done["unknown"], done["known"])
    after = kernel.memory_mb()
    return {**done, "freed_mb": round(before - after, 1) if before is not None and after is not None else 0.0}


def _report_unknown(session: str, unknown: list[str], known: list[str]) -> NoReturn:
    shown = ", ".join(known[:MAX_NAMES_SHOWN]) + (", …" if len(known) > MAX_NAMES_SHOWN else "")
    raise NotFound(
        f"Session {session} has no {'variable' if len(unknown) == 1 else 'variables'} {', '.join(unknown)}; "
        "nothing was cleared.",
        f"It has: {shown}." if known else "It has no variables.",
    )

"""Gives memory back: the user's variables, and what IPython holds of values that were shown or raised.

Runs in the kernel, as `_smart_colab.cleanup`; standard library alone.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

from .variables import NOT_THE_USERS, user_variables

# The last three shown values; IPython has each of them in the namespace, in its copy of it, and in its display hook.
LAST_SHOWN = ("_", "__", "___")
LAST_ERROR = ("last_traceback", "last_value", "last_type", "last_exc")


def clear_all(shell: Any) -> dict[str, Any]:
    """Clear what the user made and all that was shown, then give memory back."""
    names = sorted(user_variables(shell))
    for name in names:
        shell.user_ns.pop(name, None)
    figures = 0
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        figures = len(pyplot.get_fignums())
        pyplot.close("all")
    _forget_shown(shell)
    return {"cleared_variables": names, "figures_closed": figures, **_give_back(shell)}


def clear_named(shell: Any, names: list[str]) -> dict[str, Any]:
    """Clear these variables and what was shown of them; where one is unknown nothing changes, and `unknown` has it."""
    wanted = dict.fromkeys(names)
    if unknown := [name for name in wanted if not _may_be_cleared(shell, name)]:
        return {"unknown": unknown, "known": sorted(user_variables(shell))}
    values = [shell.user_ns.pop(name) for name in wanted]
    _forget_shown(shell, values)
    return {"cleared_variables": sorted(wanted), "figures_closed": 0, **_give_back(shell)}


def _may_be_cleared(shell: Any, name: str) -> bool:
    """Whether it is a name of the user's own: a function, a module or a private one too."""
    space, hidden = shell.user_ns, shell.user_ns_hidden
    is_own = name not in NOT_THE_USERS and name not in LAST_SHOWN
    return is_own and name in space and not (name in hidden and hidden[name] is space[name])


def _forget_shown(shell: Any, values: list[Any] | None = None) -> None:
    """Let go of the results of cells: of all, or of those that are one of `values`."""

    def is_meant(value: object) -> bool:
        return values is None or any(value is one for one in values)

    hook, hidden, history = shell.displayhook, shell.user_ns_hidden, shell.history_manager
    for number in [number for number, value in list(history.output_hist.items()) if is_meant(value)]:
        value = history.output_hist.pop(number)
        history.output_hist_reprs.pop(number, None)
        for space in (shell.user_ns, hidden):
            if space.get(f"_{number}") is value:
                del space[f"_{number}"]
    for name in LAST_SHOWN:
        # What the user's own code has put under such a name stays.
        is_shown = shell.user_ns.get(name) is hidden.get(name)
        for space in (hidden, *([shell.user_ns] if is_shown else [])):
            if name in space and is_meant(space[name]):
                space[name] = ""
        if is_meant(getattr(hook, name)):
            setattr(hook, name, "")
    for result in (shell.last_execution_result, getattr(hook, "exec_result", None)):
        if result is not None and is_meant(result.result):
            result.result = None


def _give_back(shell: Any) -> dict[str, Any]:
    """Drop the last exception, whose frames hold their variables, and collect what nothing refers to any more."""
    for name in LAST_ERROR:
        if hasattr(sys, name):
            delattr(sys, name)
    if (last := shell.last_execution_result) is not None:
        last.error_before_exec = last.error_in_exec = None
    for shown in (shell.InteractiveTB, shell.SyntaxTB):
        for name in ("tb", "last_syntax_error"):
            if hasattr(shown, name):
                setattr(shown, name, None)
    collected = gc.collect()
    with suppress(Exception):  # glibc's alone
        ctypes.CDLL(None).malloc_trim(0)
    return {"collected_objects": collected, "cuda_cache_emptied": _empty_cuda_cache()}


def _empty_cuda_cache() -> bool:
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return False
        torch.cuda.empty_cache()
    except Exception:  # noqa: BLE001, RUF100
        return False
    return True

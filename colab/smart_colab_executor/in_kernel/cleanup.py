"""Gives memory back: the user's variables, and what IPython holds of values that were shown or raised.

Runs in the kernel, as `_smart_colab.cleanup`; standard library alone.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

from .holdings import Holdings
from .variables import LAST_SHOWN, NOT_THE_USERS, user_variables

LAST_ERROR = ("last_traceback", "last_value", "last_type", "last_exc")


def clear_all(shell: Any) -> dict[str, Any]:
    """Clear what the user made and all that was shown, then give memory back."""
    names = sorted(user_variables(shell))
    held_by = _forget(shell, names, all_shown=True)
    figures = 0
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        figures = len(pyplot.get_fignums())
        pyplot.close("all")
    return {"cleared_variables": names, "held_by": held_by, "figures_closed": figures, **_give_back(shell)}


def clear_named(shell: Any, names: list[str]) -> dict[str, Any]:
    """Clear these variables and what was shown of them; where one is unknown nothing changes, and `unknown` has it."""
    wanted = sorted(set(names))
    if unknown := [name for name in wanted if not _may_be_cleared(shell, name)]:
        return {"unknown": unknown, "known": sorted(user_variables(shell))}
    held_by = _forget(shell, wanted, all_shown=False)
    return {"cleared_variables": wanted, "held_by": held_by, "figures_closed": 0, **_give_back(shell)}


def _may_be_cleared(shell: Any, name: str) -> bool:
    """Whether it is a name of the user's own: a function, a module or a private one too."""
    space, hidden = shell.user_ns, shell.user_ns_hidden
    is_own = name not in NOT_THE_USERS and name not in LAST_SHOWN
    return is_own and name in space and not (name in hidden and hidden[name] is space[name])


def _forget(shell: Any, names: list[str], *, all_shown: bool) -> list[str]:
    """Let go of variables and the results of cells: of all, or of theirs. Return which other variables hold theirs."""
    space, hidden = shell.user_ns, shell.user_ns_hidden
    values = [space.pop(name) for name in names]
    others = {
        name: value
        for name, value in list(space.items())
        if name not in NOT_THE_USERS and not (name in hidden and hidden[name] is value)
    }
    holdings = Holdings(shell, values, others)
    meant = {id(value) for value in _shown(shell) if all_shown or holdings.are_kept_by(value)}
    _forget_shown(shell, meant)
    return holdings.holders


def _shown(shell: Any) -> list[Any]:
    hook, hidden = shell.displayhook, shell.user_ns_hidden
    values = [*shell.history_manager.output_hist.values(), *(hidden.get(name) for name in LAST_SHOWN)]
    return [*values, *(getattr(hook, name) for name in LAST_SHOWN), *(result.result for result in _last_results(shell))]


def _last_results(shell: Any) -> list[Any]:
    results = (shell.last_execution_result, getattr(shell.displayhook, "exec_result", None))
    return [result for result in results if result is not None]


def _forget_shown(shell: Any, meant: set[int]) -> None:
    """Let go of the results of cells with these ids."""
    hook, hidden, history = shell.displayhook, shell.user_ns_hidden, shell.history_manager
    for number in [number for number, value in list(history.output_hist.items()) if id(value) in meant]:
        value = history.output_hist.pop(number)
        history.output_hist_reprs.pop(number, None)
        for space in (shell.user_ns, hidden):
            if space.get(f"_{number}") is value:
                del space[f"_{number}"]
    for name in LAST_SHOWN:
        # What the user's own code has put under such a name stays.
        is_shown = shell.user_ns.get(name) is hidden.get(name)
        for space in (hidden, *([shell.user_ns] if is_shown else [])):
            if name in space and id(space[name]) in meant:
                space[name] = ""
        if id(getattr(hook, name)) in meant:
            setattr(hook, name, "")
    for result in _last_results(shell):
        if id(result.result) in meant:
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

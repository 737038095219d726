"""The submodules of a package that the session has, which a plain import of the package may not give.

Runs in the kernel, as `_smart_colab.submodules`; standard library only.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .interrupts import Watch

MAX_SUBMODULES = 1_000
MAX_NAMED = 5


def of(module: ModuleType) -> list[str]:
    """Return the names of a module's submodules that it leads to, outer ones first, at most MAX_SUBMODULES.

    Those with an underscore are left out: they are the package's own, and it imports them itself.
    """
    below = f"{module.__name__}."
    found = [name for name in list(sys.modules) if name.startswith(below) and "._" not in name and _is_reached(name)]
    return sorted(found, key=lambda name: (name.count("."), name))[:MAX_SUBMODULES]


def _is_reached(name: str) -> bool:
    parent, _, own = name.rpartition(".")
    # Without the getters of modules, which may import.
    there = getattr(sys.modules.get(parent), "__dict__", {})
    return isinstance(there.get(own), ModuleType) and there[own] is sys.modules.get(name)


def bring(names: list[str], interrupts: Watch) -> dict[str, BaseException]:
    """Import each; return why those are missing that cannot be imported. Raises KeyboardInterrupt if there is one."""
    missing: dict[str, BaseException] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                import_module(name)
            except BaseException as error:  # noqa: BLE001, RUF100 - any library's and the user's own
                if interrupts.has_seen_one:
                    raise KeyboardInterrupt from error
                missing[name] = error
    return missing


def shown(names: list[str]) -> str:
    """Return names for a row, of many the first."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more

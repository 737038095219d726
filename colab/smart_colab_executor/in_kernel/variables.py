"""Lists the user's variables without running the user's code, computing or reading anything.

Runs in the kernel, as `_smart_colab.variables`; standard library only.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .classes import name_of
from .facts import Measure
from .short_repr import ShortRepr

if TYPE_CHECKING:
    from .facts import Facts

MAX_VARIABLES = 500
# The last three shown values; IPython has each of them in the namespace, in its copy of it, and in its display hook.
LAST_SHOWN = ("_", "__", "___")
NOT_THE_USERS = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython", "_exit_code"})


def user_variables(shell: Any) -> dict[str, Any]:
    """Return the variables that the user's code has defined, by name; no modules, functions and classes."""
    hidden = shell.user_ns_hidden
    return {
        name: value
        for name, value in dict(shell.user_ns).items()  # a copy: threads may change it meanwhile
        if type(name) is str
        and not name.startswith("_")
        and not issubclass(type(value), (ModuleType, FunctionType, type))
        and not (name in hidden and hidden[name] is value)
        and name not in NOT_THE_USERS
    }


def own_variables(shell: Any) -> dict[str, Any]:
    """Return all that the user's code has defined or imported, private ones too."""
    hidden = shell.user_ns_hidden
    return {
        name: value
        for name, value in dict(shell.user_ns).items()
        if type(name) is str
        and not (name.startswith("__") and name.endswith("__"))
        and not (name in hidden and hidden[name] is value)
        and name not in NOT_THE_USERS
        and name not in LAST_SHOWN
    }


def listing(found: dict[str, Any], pattern: str | None = None) -> dict[str, Any]:
    """Return the rows of `GET /variables` whose names match, those with the most memory first."""
    if pattern is not None:
        found = {name: value for name, value in found.items() if fnmatchcase(name, pattern)}
    measure = Measure(len(found))
    facts: dict[str, Facts] = {}
    for name, value in found.items():
        measure.begin()
        facts[name] = measure.facts(value)
    names = sorted(found, key=lambda name: (-(facts[name].get("bytes") or 0), name))
    short = ShortRepr(measure)
    return {
        "variables": [_row(name, found[name], facts[name], short) for name in names[:MAX_VARIABLES]],
        "total": len(names),
    }


def _row(name: str, value: object, facts: Facts, short: ShortRepr) -> dict[str, Any]:
    return {
        "name": _readable(name),
        "type": _readable(name_of(type(value))),
        "shape": _whole(facts.get("shape")),
        "length": facts.get("length"),
        "bytes": facts.get("bytes"),
        "repr": _readable(short.text(value, facts)),
    }


def _whole(shape: Any) -> list[int] | None:
    """Return a shape as a list, if all of it is known."""
    try:
        return [int(size) for size in shape] if isinstance(shape, tuple) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _readable(text: str) -> str:
    """Replace lone surrogates, which a message cannot hold."""
    return text.encode("utf-8", "replace").decode()

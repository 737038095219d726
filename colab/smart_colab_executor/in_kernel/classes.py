"""What is known of a class without asking it: its own attributes and its metaclass may be the user's code.

Runs in the kernel, as `_smart_colab.classes`; standard library alone.
"""

from __future__ import annotations

from types import GetSetDescriptorType
from typing import Any

_NAME, _MODULE, _MRO, _DICT = (type.__dict__[name] for name in ("__name__", "__module__", "__mro__", "__dict__"))


def name_of(kind: type) -> str:
    """The class's name."""
    return str(_NAME.__get__(kind))


def module_of(kind: type) -> str:
    """The module that made it, empty where that is not known."""
    try:
        module = _MODULE.__get__(kind)
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def mro_of(kind: type) -> tuple[type, ...]:
    """The class and its bases."""
    found: tuple[type, ...] = _MRO.__get__(kind)
    return found


def root_of(kind: type) -> str:
    """The package that made it; `duckdb` for `_duckdb`."""
    return module_of(kind).partition(".")[0].lstrip("_")


def attributes_of(value: object) -> dict[str, Any]:
    """The instance's own attributes, as they are."""
    for base in mro_of(type(value)):
        descriptor = _DICT.__get__(base).get("__dict__")
        if descriptor is not None:
            found = descriptor.__get__(value) if type(descriptor) is GetSetDescriptorType else None
            return found if type(found) is dict else {}
    return {}

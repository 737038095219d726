"""Reads facts about a class without running its code: its attributes and its metaclass may be the user's.

Runs in the kernel, as `_smart_colab.classes`; standard library only.
"""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

_NAME, _MODULE, _MRO, _DICT = (type.__dict__[name] for name in ("__name__", "__module__", "__mro__", "__dict__"))


def name_of(kind: type) -> str:
    """Return the class's name."""
    return str(_NAME.__get__(kind))


def module_of(kind: type) -> str:
    """Return the module that defines the class, empty if unknown."""
    try:
        module = _MODULE.__get__(kind)
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def mro_of(kind: type) -> tuple[type, ...]:
    """Return the class and its bases."""
    found: tuple[type, ...] = _MRO.__get__(kind)
    return found


def root_of(kind: type) -> str:
    """Return the package that defines the class; `duckdb` for `_duckdb`."""
    return module_of(kind).partition(".")[0].lstrip("_")


def is_a(value: object, package: str, name: str) -> bool:
    """Return whether the value's class, or one that it derives from, has this name in this package."""
    return any((root_of(base), name_of(base)) == (package, name) for base in mro_of(type(value)))


def attributes_of(value: object) -> dict[str, Any]:
    """Return the instance's own attributes."""
    for base in mro_of(type(value)):
        descriptor = _DICT.__get__(base).get("__dict__")
        if descriptor is not None:
            found = descriptor.__get__(value) if type(descriptor) is GetSetDescriptorType else None
            return found if type(found) is dict else {}
    return {}


def slots_of(value: object) -> list[Any]:
    """Return the values in the instance's slots."""
    found = []
    for base in mro_of(type(value)):
        for descriptor in list(_DICT.__get__(base).values()):
            if type(descriptor) is MemberDescriptorType:
                try:
                    found.append(descriptor.__get__(value))
                except AttributeError:  # not set
                    continue
    return found

"""The versions of packages, and which of them do not read each other's values.

Runs in the kernel, as `_smart_colab.versions`; standard library only.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from typing import Any

from .classes import module_of, name_of

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

Package = dict[str, Any]
"""`version` and `install`, the name by which it is installed; or `file`, of a module of the user's own."""

# Classes of the standard library whose attributes 3.11, 3.12 and 3.13 do not share: loaded, they fail when used.
_PYTHONS_OWN = frozenset(
    (
        ("asyncio.queues", "LifoQueue"),
        ("asyncio.queues", "PriorityQueue"),
        ("asyncio.queues", "Queue"),
        ("configparser", "RawConfigParser"),
        ("filecmp", "dircmp"),
        ("logging", "LoggerAdapter"),
        ("reprlib", "Repr"),
        ("tarfile", "TarInfo"),
        ("tempfile", "TemporaryDirectory"),
        ("zipfile", "ZipInfo"),
    )
)
# What pandas 3 misreads of pandas 2; its frames, series and other types are the same.
_CHANGED_IN_PANDAS = frozenset(("ArrowDtype", "NamedAgg", "TimedeltaIndex"))


def is_pythons_own(kind: type) -> bool:
    """Return whether an object of this class is made of attributes that another version of Python does not know."""
    return (module_of(kind), name_of(kind)) in _PYTHONS_OWN


def package_of_state(kind: type) -> str | None:
    """Return the package by whose version alone the pickled state of such an object is read, or None for plain data."""
    module = module_of(kind)
    package = module.partition(".")[0]
    if package in ("sklearn", "polars"):
        return package
    if package == "scipy":
        return None if module.startswith("scipy.sparse._") else package
    return package if package == "pandas" and name_of(kind) in _CHANGED_IN_PANDAS else None


def describe(packages: set[str]) -> dict[str, Package]:
    """Describe imported packages."""
    installed = metadata.packages_distributions() if packages else {}
    return {name: _describe(name, installed.get(name, [])) for name in sorted(packages)}


def _describe(name: str, installed: list[str]) -> Package:
    if installed:
        return {"version": _installed(installed[0]), "install": installed[0]}
    return {"file": getattr(sys.modules.get(name), "__file__", None)}


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def obstacle(name: str, saved: Package, *, is_imported: bool, is_state: bool = False) -> str | None:
    """Return why a value of this package cannot be loaded here, and what to do, or None.

    What is imported is loaded in any version, what is inner state of the package in no other one.
    """
    install, version = saved.get("install"), saved.get("version")
    wanted = _remedy(saved)
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        if install is None:
            return (
                f"it needs the module {name}, which is not here: bring its file {saved.get('file') or ''} here".rstrip()
            )
        return f"it needs {name} {version}, which is not installed here: {wanted}"
    here = _installed(install) if install else None
    if is_imported or not here or not version:
        return None
    then, now = _numbers(version), _numbers(here)
    changes_in = 1 if name == "pandas" else 2
    # pandas reads what an older one saved.
    if (is_state and then[:changes_in] != now[:changes_in]) or (name == "pandas" and then[:1] > now[:1]):
        return f"{name} {here} does not read what {name} {version} saved: {wanted}, and restart the session"
    return None


def misread(name: str, saved: Package, then: str, now: str) -> str:
    """Return why a value whose columns had other types is not loaded, and what to do."""
    return f"{name} {_installed(saved['install'])} reads {then} as {now}: {_remedy(saved)}, and restart the session"


def _remedy(saved: Package) -> str:
    return f"%pip install {saved.get('install')}=={saved.get('version')}"


def differences(python: str, packages: dict[str, Package]) -> str:
    """Return which of these packages have another version here, and Python if `python`, which saved, is another one."""
    found = [] if python == PYTHON else [f"Python {python}, here {PYTHON}"]
    for name, saved in packages.items():
        here = _installed(saved["install"]) if saved.get("install") else None
        if here != saved.get("version"):
            found.append(f"{name} {saved.get('version')}, here {here}")
    return "; ".join(found)


def _numbers(version: str) -> list[int]:
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return numbers

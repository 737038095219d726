"""The versions of packages, and which of them do not read each other's values.

Runs in the kernel, as `_smart_colab.versions`; standard library only.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from typing import Any

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

Package = dict[str, Any]
"""`version` and `install`, the name by which it is installed; or `file`, of a module of the user's own."""


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


def obstacle(name: str, saved: Package, *, is_imported: bool) -> str | None:
    """Return why a value of this package cannot be loaded here, and what to do, or None; in any version if imported."""
    install, version = saved.get("install"), saved.get("version")
    wanted = f"%pip install {install}=={version}"
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
    # What scikit-learn saved it reads only in the same version; pandas reads what an older one saved.
    if (name == "sklearn" and then[:2] != now[:2]) or (name == "pandas" and then[:1] > now[:1]):
        return f"{name} {here} does not read what {name} {version} saved: {wanted}, and restart the session"
    return None


def differences(packages: dict[str, Package]) -> str:
    """Return which of these packages have another version here."""
    found = []
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

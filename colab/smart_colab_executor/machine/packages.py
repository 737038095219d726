"""The packages that code installs on this machine, as far as they can be installed on another one."""

from __future__ import annotations

import json
import re
import site
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

DESCRIPTIONS = "*-*.dist-info"

# A package's requirements by the folders that have it, in the order in which Python looks.
Places = dict[Path, str | None]


class Packages:
    """What has changed since this was made. Fast where nothing has: for every job's end."""

    def __init__(self) -> None:
        self._changed_at, self._there = changed_at(), _there()
        self._changes: dict[str, str | None] = {}

    def changes(self) -> dict[str, str | None]:
        """Return, by name, what `pip install` takes to get what is there now; None for what is gone, or only here."""
        if (at := changed_at()) != self._changed_at:
            there = _there()
            for name in sorted(there.keys() | self._there.keys()):
                before, now = self._there.get(name, {}), there.get(name, {})
                if (used := _used(now)) != _used(before):
                    # What lay under a removed one, as in the base of a virtual environment, was not installed.
                    self._changes[name] = None if used is None or used in before.items() else used[1]
            self._changed_at, self._there = at, there
        return dict(self._changes)


def changed_at() -> dict[Path, int | None]:
    """Return when a package was last installed or removed in each folder of packages."""
    changed: dict[Path, int | None] = {}
    for folder in _folders():
        changed[folder] = None
        with suppress(OSError):
            changed[folder] = folder.stat().st_mtime_ns
    return changed


def _folders() -> tuple[Path, ...]:
    return _folders_of((site.getusersitepackages(), *sys.path))


@lru_cache(1)  # for every job's end: making the paths takes longer than looking at them
def _folders_of(paths: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(path for path in map(Path, paths) if path.name in ("site-packages", "dist-packages"))


def _used(places: Places) -> tuple[Path, str | None] | None:
    """Return the first one, which hides the others."""
    return next(iter(places.items()), None)


def _there() -> dict[str, Places]:
    """Return the packages that are there. By the names of files: reading all takes a second."""
    found: dict[str, Places] = {}
    for folder in _folders():
        for description in folder.glob(DESCRIPTIONS):
            name, version = description.stem.split("-", 1)
            name = re.sub(r"[-_.]+", "-", name).lower()
            found.setdefault(name, {}).setdefault(folder, _requirement(name, version, description))
    return found


def _requirement(name: str, version: str, description: Path) -> str | None:
    try:
        origin = json.loads((description / "direct_url.json").read_bytes())
        url, commit = str(origin["url"]), origin.get("vcs_info")
        if not url.startswith(("https:", "http:")):
            return None  # a file or a folder of this machine
        return f"{name} @ {commit['vcs']}+{url}@{commit['commit_id']}" if commit else f"{name} @ {url}"
    except OSError:
        return f"{name}=={version}"  # from an index
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

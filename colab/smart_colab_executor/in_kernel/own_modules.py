"""The user's own modules: files beside the data, found as in Jupyter, behind the standard library.

Runs in the kernel, as `_smart_colab.own_modules`; standard library alone. The kernel starts under `-P`, with no folder
of the user's in the search path, so that no file there stands in for a module that it needs.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from itertools import islice
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# How far a module that was not found is looked for.
MAX_SEARCH_SEC = 0.3
MAX_DEPTH = 3
# Of libraries, or slow to list as a mounted drive is.
PASSED_OVER = frozenset({"site-packages", "dist-packages", "node_modules", "venv", "env", "drive"})
MAX_CHANGED_SHOWN = 3
# `%%file` is its old name.
WRITING = ("%%writefile", "%%file")


class OwnModules:
    """The modules under the folder in which the kernel starts."""

    def __init__(self) -> None:
        self._root = Path.cwd()
        # Where IPython puts the current folder, which it leaves out under `-P` from 9.7 on; then where the kernel
        # started, for code that has changed its folder.
        names = [Path(entry).name for entry in sys.path]
        at = min(
            (names.index(name) for name in ("site-packages", "dist-packages") if name in names), default=len(names)
        )
        sys.path[at:at] = [entry for entry in ("", str(self._root)) if entry not in sys.path]
        # By file, the time and the size of the source that was imported.
        self._imported: dict[str, tuple[float, int | None]] = {}
        self._stats = SourceFileLoader.path_stats
        note_import: Any = lambda loader, path: self._note_import(loader, path)  # noqa: E731, RUF100
        SourceFileLoader.path_stats = note_import  # type: ignore[method-assign]

    def _note_import(self, loader: SourceFileLoader, path: str) -> Any:
        stats = self._stats(loader, path)
        if path.startswith(f"{self._root}{os.sep}"):
            self._imported[path] = (stats["mtime"], stats["size"])
        return stats

    def note(self, error: BaseException) -> str | None:
        """Say what is known of them that helps against an exception; None where nothing is."""
        with suppress(OSError, ValueError):
            if isinstance(error, ModuleNotFoundError) and error.name:
                return self._note_missing(error.name)
            if isinstance(error, Exception):
                return self._note_hidden(error) or self._note_changed(error)
        return None

    def report_written(self, shell: Any, stderr: Any) -> None:
        """Report after a cell that wrote a module which is imported already: the next import returns the old one."""

        def look(result: Any) -> None:
            first, *_ = (getattr(result.info, "raw_cell", None) or "").lstrip().splitlines() or [""]
            if first.startswith(WRITING) and not _are_reloaded(shell):
                with suppress(OSError, ValueError):
                    written = (one for one in self._modules() if Path(str(one.__file__)).name in first)
                    if said := self._say_changed(written):
                        stderr.write_here(f"[{said}]\n")

        shell.events.register("post_run_cell", look)

    def _note_missing(self, name: str) -> str | None:
        found = self._find(*name.split("."))
        if found is None:
            return None
        folder, file = found
        if folder in (Path(entry).absolute() for entry in sys.path):
            top = name.partition(".")[0]
            if top in sys.modules:
                return f"{folder / top} is hidden by another module of that name: rename it"
            return f"{file} is there now: run import importlib; importlib.invalidate_caches() first"
        return f"{file} is not where Python looks: run import sys; sys.path.insert(0, {str(folder)!r}) first"

    def _note_hidden(self, error: Exception) -> str | None:
        module = getattr(error, "obj", None) if isinstance(error, AttributeError) else None
        name = module.__name__ if isinstance(module, ModuleType) else getattr(error, "name", None)
        if not isinstance(name, str) or not name.isidentifier() or name not in sys.modules:
            return None
        file = self._root / f"{name}.py"
        is_hidden = str(file) != getattr(sys.modules[name], "__file__", None) and file.is_file()
        return f"{file} is hidden by another module of that name: rename it" if is_hidden else None

    def _find(self, top: str, *rest: str) -> tuple[Path, Path] | None:
        """Find the file or the folder of a module, and the folder from which it can be imported."""
        until = monotonic() + MAX_SEARCH_SEC
        folders = [(self._root, 0)]
        for folder, depth in folders:
            module = folder.joinpath(top, *rest)
            file = module.with_name(f"{module.name}.py")
            if file.is_file():
                return folder, file
            if any(module.glob("*.py")) or any(module.glob("*/*.py")):
                return folder, module
            if depth < MAX_DEPTH and monotonic() < until:
                folders += [(inner, depth + 1) for inner in _inner_folders(folder)]
        return None

    def _note_changed(self, error: Exception) -> str | None:
        is_named = isinstance(error, (AttributeError, ImportError, TypeError))
        files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
        return self._say_changed(one for one in self._modules() if is_named or one.__file__ in files)

    def _say_changed(self, modules: Iterable[ModuleType]) -> str | None:
        changed = list(islice(filter(self._has_changed, modules), MAX_CHANGED_SHOWN))
        if not changed:
            return None
        shown = ", ".join(str(module.__file__) for module in changed)
        names = [module.__name__ for module in changed]
        reloads = "; ".join(f"importlib.reload({name})" for name in names)
        return f"{shown} changed after the import: run import importlib, {', '.join(names)}; {reloads} first"

    def _modules(self) -> Iterator[ModuleType]:
        for name, module in list(sys.modules.items()):
            # A library's stand-in for a module would import it when it is asked; cffi's only claims to be one.
            if issubclass(type(module), ModuleType) and name != "__main__":
                file = ModuleType.__getattribute__(module, "__dict__").get("__file__")
                if isinstance(file, str) and file in self._imported:
                    yield module

    def _has_changed(self, module: ModuleType) -> bool:
        try:
            now = Path(str(module.__file__)).stat()
        except OSError:
            return False
        return self._imported[str(module.__file__)] != (now.st_mtime, now.st_size)


def _are_reloaded(shell: Any) -> bool:
    """Return whether `%autoreload` brings modules up to date."""
    magics = shell.magics_manager.registry.get("AutoreloadMagics")
    return bool(getattr(getattr(magics, "_reloader", None), "enabled", False))


def _inner_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if name[:1] not in "._" and name not in PASSED_OVER]

"""Loads variables that were saved, in this or another version of Python and of the packages.

Runs in the kernel, as `_smart_colab.loading`; standard library only. Loading a pickle runs code of whoever saved it.
"""

from __future__ import annotations

import importlib
import io
import json
from typing import TYPE_CHECKING, Any

from . import formats, submodules, versions
from .interrupts import Watch
from .saved_state import (
    CHUNK_BYTES,
    FORMAT,
    MANIFEST,
    Member,
    SavedSessionNotFound,
    SavedVariableNotFound,
    SessionNotLoaded,
    Table,
    count,
    place,
    reason_of,
)
from .variables import NOT_THE_USERS, own_variables

if TYPE_CHECKING:
    from zipfile import ZipFile

Entry = dict[str, Any]


class NotLoaded(Exception):
    """A variable is not loaded; the message gives the reason and the remedy."""


def load(shell: Any, root: str, path: str, names: list[str] | None, *, overwrite: bool) -> None:
    """Set the variables of a saved session, all or those of these names and what their functions use.

    Prints what became of each. Raises SessionError.
    """
    from zipfile import BadZipFile, ZipFile

    file = place(root, path)
    try:
        with ZipFile(file) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            if manifest["format"] != FORMAT:
                raise SessionNotLoaded(f"{file} is of another version of smart-colab: update it here")
            with Watch() as interrupts:
                Loading(shell, archive, manifest, interrupts).run(names, overwrite=overwrite)
    except FileNotFoundError:
        raise SavedSessionNotFound(f"there is no file {file}: bring it here first, or check the path") from None
    except (BadZipFile, LookupError, ValueError, TypeError, OSError) as error:
        raise SessionNotLoaded(
            f"{file} is not a saved session, or is damaged ({reason_of(error)}): name another, or bring it here again"
        ) from None


class Loading:
    """Reads the archive."""

    def __init__(self, shell: Any, archive: ZipFile, manifest: dict[str, Any], interrupts: Watch) -> None:
        self._shell = shell
        self._archive = archive
        self._manifest = manifest
        self._interrupts = interrupts
        self._entries: dict[str, Entry] = {entry["name"]: entry for entry in manifest["variables"]}
        self._values: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._lacking: dict[str, str] = {}
        self._members: dict[str, Any] = {}

    def run(self, names: list[str] | None, *, overwrite: bool) -> None:
        """Load these variables. Raises SessionError, BadZipFile, OSError."""
        space, there = self._shell.user_ns, set(own_variables(self._shell))
        if unknown := [name for name in names or () if name not in self._entries]:
            raise SavedVariableNotFound(f"the file has no {', '.join(unknown)}; it has {', '.join(self._entries)}")
        wanted = self._in_order(names if names is not None else list(self._entries), there)
        # Loading a function gives it the session's names, and cloudpickle replaces this one.
        builtins = space.get("__builtins__")
        table = Table(wanted, f"loaded, or why not (saved by Python {self._manifest['python']})")
        done = 0
        for name in wanted:
            entry = self._entries[name]
            if not name.isidentifier() or name in NOT_THE_USERS:
                text = "not loaded: this name is not the user's"
            elif name in there and not overwrite:
                text = "not loaded: the session has one of this name; overwrite replaces it"
            else:
                try:
                    space[name] = self.value(name)
                    done += 1
                    text = "loaded" + self._lacking.get(name, "")
                except NotLoaded as error:
                    text = f"not loaded: {error}"
            table.row(name, entry["type"], entry["bytes"], text)
        space["__builtins__"] = builtins
        print(f"\n{count(done)} loaded, {len(wanted) - done} not", flush=True)
        if not done and wanted:
            raise SessionNotLoaded("no variable was loaded: the rows above say why, and what to do")

    def value(self, name: str) -> Any:
        """Return a variable's value, read at most once. Raises NotLoaded."""
        if name in self._reasons:
            raise NotLoaded(self._reasons[name])
        if name not in self._values:
            try:
                self._values[name] = self._read(self._entries[name])
            except NotLoaded as error:
                self._reasons[name] = str(error)
                raise
        return self._values[name]

    def _in_order(self, names: list[str], there: set[str]) -> list[str]:
        """Return these and what their functions use of the session that it does not have, each after what it needs."""
        wanted, seen = set(names), set[str]()
        order: list[str] = []
        free = (self._entries.keys() - there) | wanted

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            uses = [one for one in self._entries[name].get("uses", ()) if one in free]
            wanted.update(uses)
            # Functions of what it holds, such as the methods of its class, use the session too.
            for other in (*self._entries[name].get("holds", ()), *uses):
                visit(other)
            order.append(name)

        for name in names:
            visit(name)
        return [name for name in order if name in wanted]

    def _read(self, entry: Entry) -> Any:
        packages = {name: self._manifest["packages"][name] for name in entry.get("packages", ())}
        if entry.get("compiled") and self._manifest["python"] != versions.PYTHON:
            raise NotLoaded(
                f"it has functions, or inner state, that only Python {self._manifest['python']} reads, "
                f"and this is {versions.PYTHON}: run the cells that make them again, then load the rest"
            )
        # Modules that a package names wrongly have no remedy: the package's version does.
        for name, saved in sorted(packages.items(), key=lambda item: item[1].get("install") is None):
            is_state = name in entry.get("state_of", ())
            if obstacle := versions.obstacle(name, saved, is_imported=bool(entry.get("imported")), is_state=is_state):
                raise NotLoaded(obstacle)
        for held in entry.get("holds", ()):
            try:
                self.value(held)
            except NotLoaded as error:
                raise NotLoaded(f"it holds {held}: {error}") from None
        try:
            value = self._of_format(entry)
            if entry.get("read_only"):
                value.flags.writeable = False
        except NotLoaded:
            raise
        except BaseException as error:  # noqa: BLE001, RUF100 - any library's and the user's own
            if self._interrupts.has_seen_one:
                raise KeyboardInterrupt from error
            others = versions.differences(self._manifest["python"], packages)
            raise NotLoaded(f"{reason_of(error)}{f' (saved with {others})' if others else ''}") from None
        self._bring_submodules(entry)
        return value

    def _bring_submodules(self, entry: Entry) -> None:
        """Import what a plain import of a package may not; what cannot be imported costs no more than itself."""
        if missing := submodules.bring(entry.get("submodules", []), self._interrupts):
            name, error = next(iter(missing.items()))
            reason = f"{name}: {reason_of(error)}" if len(missing) > 1 else reason_of(error)
            self._lacking[entry["name"]] = f", without {submodules.shown(list(missing))} ({reason})"

    def _of_format(self, entry: Entry) -> Any:
        kind = entry["format"]
        if kind == "module":
            return importlib.import_module(entry["module"])
        if kind == "same":
            return self.value(entry["holds"][0])
        member = entry["member"]
        if kind in formats.TOGETHER:
            if member not in self._members:
                self._members[member] = self._contents(entry)
            return self._members[member][entry["name"]]
        return self._contents(entry)

    def _contents(self, entry: Entry) -> Any:
        """Return what a member holds, once its checksum is right. Raises BadZipFile."""
        with self._archive.open(entry["member"]) as stream:
            while stream.read(CHUNK_BYTES):
                pass
        member = Member(self._archive, self._archive.getinfo(entry["member"]))
        value = formats.read(entry["format"], entry["type"], io.BufferedReader(member, CHUNK_BYTES), self.value)
        if entry["format"] == formats.ARROW and (found := formats.columns(value)) != entry["columns"]:
            raise NotLoaded(versions.misread("polars", self._manifest["packages"]["polars"], entry["columns"], found))
        return value

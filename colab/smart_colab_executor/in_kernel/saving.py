"""Saves the session's variables to a file, each by the format of its library.

Runs in the kernel, as `_smart_colab.saving`; standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from time import gmtime, strftime
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from . import formats, pickles, versions
from .classes import name_of
from .facts import format_bytes
from .interrupts import Watch
from .pickles import Contents, Unsavable
from .saved_state import (
    FOLDER,
    FORMAT,
    MANIFEST,
    SessionNotSaved,
    SessionVariableNotFound,
    Table,
    count,
    place,
    reason_of,
)
from .variables import own_variables

if TYPE_CHECKING:
    from zipfile import ZipFile


def save(shell: Any, root: str, path: str, names: list[str] | None) -> None:
    """Write variables, all or those of these names, to the file `path` below `root`, and print what became of each.

    An earlier file is replaced once all is written. Raises SessionError.
    """
    file = place(root, path)
    own = own_variables(shell)
    if unknown := [name for name in names or () if name not in own]:
        raise SessionVariableNotFound(
            f"the session has no variable {', '.join(unknown)}; it has {', '.join(own) or 'none'}"
        )
    if file.exists() and not _is_saved_session(file):
        raise SessionNotSaved(f"{file} is there and is not a saved session: name another file, or move it away")
    space = own if names is None else {name: own[name] for name in names}
    if not space:
        raise SessionNotSaved("the session has no variables: run code that makes some, or name another session")
    partial = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb", buffering=1024 * 1024) as stream, Watch() as interrupts:
            saving = Saving(shell.user_ns, space, _Sink(stream), interrupts)
            saving.run()
            if len(saving.reasons) == len(space):
                reasons = "; ".join(f"{name}: {reason}" for name, reason in saving.reasons.items())
                raise SessionNotSaved(f"nothing is saved, and no file is made or replaced: {reasons}")
            stream.flush()
            os.fsync(stream.fileno())
        size = partial.stat().st_size
        partial.replace(file)
    except OSError as error:
        raise SessionNotSaved(
            f"{file} cannot be written: {error.strerror or error}; an earlier file of this name is as it was. "
            "Free space or name another place, and save again"
        ) from None
    finally:
        with suppress(OSError):
            partial.unlink()
    _sync_folder(file.parent)
    failed = len(saving.reasons)
    left_out = f"; {count(failed)} not saved" if failed else ""
    print(f"\n{count(len(space) - failed)} saved in {file}, {format_bytes(size)}{left_out}", flush=True)


class _Sink:
    """The file, which remembers that it could not be written: libraries replace that error with their own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None
        self.seek, self.tell, self.flush = stream.seek, stream.tell, stream.flush

    def write(self, data: Any) -> int:
        try:
            return int(self._stream.write(data))
        except OSError as error:
            self.error = error
            raise


class Saving:
    """Writes the archive."""

    def __init__(self, session: dict[str, Any], space: dict[str, Any], sink: _Sink, interrupts: Watch) -> None:
        self._session = session
        self._space = space
        self._sink = sink
        self._interrupts = interrupts
        self._table = Table(list(space), "format, or why it is not saved")
        self._entries: list[dict[str, Any]] = []
        self._packages: set[str] = set()
        self._known: dict[int, str] = {}
        self._owners: dict[int, str] = {}
        self.reasons: dict[str, str] = {}
        """Why variables are not saved."""

    def run(self) -> None:
        """Write all. Raises OSError."""
        from zipfile import ZipFile

        kinds = {name: formats.format_of(value) for name, value in self._space.items()}
        order = sorted(self._space, key=lambda name: formats.rank(self._space[name], kinds[name]))
        with ZipFile(self._sink, "w") as archive:  # type: ignore[call-overload]
            for kind in formats.TOGETHER:
                if of_kind := [name for name in order if kinds[name] == kind]:
                    self._save_together(archive, kind, of_kind)
            for name in order:
                if kinds[name] not in formats.TOGETHER:
                    self._save(archive, name, kinds[name])
            manifest = {
                "format": FORMAT,
                "saved_at": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()),
                "python": versions.PYTHON,
                "packages": versions.describe(self._packages),
                "variables": self._entries,
            }
            archive.writestr(MANIFEST, json.dumps(manifest))

    def _save(self, archive: ZipFile, name: str, kind: str) -> None:
        value = self._space[name]
        contents = Contents()
        if issubclass(type(value), ModuleType):
            try:
                contents.note(value)
            except Unsavable as error:
                self._refuse(name, error)
                return
            self._packages |= contents.packages
            found = {"packages": sorted(contents.packages), "submodules": sorted(contents.submodules)}
            self._enter(name, "module", 0, f"import {value.__name__}", imported=True, **found)
            return
        if (same := self._known.get(id(value))) is not None:
            self._enter(name, "same", 0, f"the same object as {same}", holds=[same])
            return
        if kind == formats.NPY or kind == formats.ARROW:
            contents.packages.add("numpy" if kind == formats.NPY else "polars")
        try:
            pickles.check(value)
            member = self._write(archive, kind, value, contents)
        except BaseException as error:  # noqa: BLE001, RUF100 - any library's and the user's own
            self._refuse(name, error)
            return
        is_imported = issubclass(type(value), (FunctionType, BuiltinFunctionType, type)) and not contents.is_compiled
        note = ", by its name" if is_imported else self._note_memory(name, value) if kind == formats.NPY else ""
        self._enter_contents(name, kind, member, contents, note, imported=is_imported)
        if type(value) not in pickles.ATOMS and not is_imported:
            self._known[id(value)] = name

    def _save_together(self, archive: ZipFile, kind: str, names: list[str]) -> None:
        """Write all of a kind into one member: an optimizer and its model share their parameters."""
        values = {name: self._space[name] for name in names}
        contents = Contents()
        contents.packages.add("torch")
        try:
            member = self._write(archive, kind, values, contents)
        except BaseException as error:  # noqa: BLE001, RUF100
            self._raise_final(error)
            savable = [name for name in names if self._is_savable(name, kind)]
            if savable and len(savable) < len(names):
                self._save_together(archive, kind, savable)
            return
        for position, name in enumerate(names):
            self._enter_contents(name, kind, member if position == 0 else (member[0], 0), contents)
            self._known[id(values[name])] = name

    def _is_savable(self, name: str, kind: str) -> bool:
        try:
            formats.write(kind, {name: self._space[name]}, _Nowhere(), self._pickler(Contents()))
        except BaseException as error:  # noqa: BLE001, RUF100
            self._refuse(name, error)
            return False
        return True

    def _write(self, archive: ZipFile, kind: str, value: Any, contents: Contents) -> tuple[str, int]:
        """Write a member; return its name and its bytes. What is written of a value that fails stays, unnamed."""
        member = f"{FOLDER}{len(archive.namelist())}.{kind}"
        with archive.open(member, "w", force_zip64=True) as file:
            formats.write(kind, value, file, self._pickler(contents))
        return member, archive.getinfo(member).file_size

    def _pickler(self, contents: Contents) -> Any:
        return pickles.pickler(self._session, self._known, contents)

    def _enter_contents(
        self,
        name: str,
        kind: str,
        member: tuple[str, int],
        contents: Contents,
        note: str = "",
        *,
        imported: bool = False,
    ) -> None:
        self._packages |= contents.packages
        found = {
            "member": member[0],
            "packages": sorted(contents.packages),
            "submodules": sorted(contents.submodules),
            "holds": sorted(contents.holds),
            "uses": sorted(contents.uses),
            "state_of": sorted(contents.state_of),
            "compiled": contents.is_compiled,
            "imported": imported,
            "read_only": formats.is_read_only(self._space[name]),
        }
        if kind == formats.ARROW:
            found["columns"] = formats.columns(self._space[name])
        self._enter(name, kind, member[1], kind + note, **found)

    def _enter(self, name: str, kind: str, size: int, text: str, **found: Any) -> None:
        type_name = name_of(type(self._space[name]))
        if kind == "module":
            found["module"] = self._space[name].__name__
        self._entries.append({"name": name, "type": type_name, "format": kind, "bytes": size, **found})
        self._table.row(name, type_name, size, text)

    def _refuse(self, name: str, error: BaseException) -> None:
        self._raise_final(error)
        reason = self.reasons[name] = str(error) if isinstance(error, Unsavable) else reason_of(error)
        self._table.row(name, name_of(type(self._space[name])), None, f"not saved: {reason}")

    def _raise_final(self, error: BaseException) -> None:
        """Raise what ends the saving: an interrupt, and an error of the file, whatever a library made of it."""
        if self._interrupts.has_seen_one:
            raise KeyboardInterrupt from error
        if self._sink.error is not None:
            raise self._sink.error

    def _note_memory(self, name: str, value: Any) -> str:
        first = self._owners.setdefault(formats.owner(value), name)
        return "" if first == name else f", a copy: it shares memory with {first}"


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass


def _is_saved_session(file: Path) -> bool:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            return MANIFEST in archive.namelist()
    except (BadZipFile, OSError):
        return False


def _sync_folder(folder: Path) -> None:
    """Make sure that the file's name is on the disk too; not every file system can."""
    if sys.platform != "win32":
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

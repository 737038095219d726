"""Bundles: many small files in one reply, or in one request. API.md has the format."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.arguments import time_ns
from ..core.errors import Busy, ExecutorError, InvalidArgument, TooLarge
from ..in_kernel.jsonline import dump
from ..wire.files import BundleWritten
from .content_root import ContentRoot, show
from .digests import etag_of
from .files import time_text
from .os_errors import translate_read_errors, translate_write_errors
from .partials import goal_at, is_executable, note_partials, partial_of, rename_into_place

MAX_NAMES = 1000
MAX_FILE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
# Handed to the server at once, so that a tiny file is not a packet of its own.
CHUNK = 256 * 1024


@dataclass(frozen=True)
class _File:
    name: str
    content: memoryview
    modified_ns: int
    executable: bool


class Bundles:
    """Reads and writes bundles of files in `root`. Files being written are recorded in the folder `notes`."""

    def __init__(self, root: ContentRoot, notes: Path) -> None:
        self._root = root
        self._notes = notes

    def read(self, path: str, names: Sequence[object]) -> Iterator[bytes]:
        """Yield the bundle of the named files in a folder, one by one. Raises before the first one."""
        if len(names) > MAX_NAMES:
            raise InvalidArgument(f"{len(names)} names are too many.", f"Send at most {MAX_NAMES} at once.")
        checked = [check_name(name) for name in names]
        folder = self._folder(path)
        with translate_read_errors(folder):
            folder.stat()
        return _batch(self._lines(folder, checked))

    def write(self, path: str, bundle: bytes) -> list[BundleWritten]:
        """Write the files of a bundle, and report the outcome of each. Raises InvalidArgument before the first one."""
        files = list(_parse(bundle))
        folder = self._folder(path)
        key = uuid.uuid4().hex
        note = self._notes / f"{key}.json"
        with translate_write_errors(folder):
            places = {folder / Path(file.name).parent for file in files}
            note_partials(note, [partial_of(place / "x", key) for place in places])
        try:
            return [self._write(folder, file, key) for file in files]
        finally:
            with suppress(OSError):
                note.unlink()

    def _folder(self, path: str) -> Path:
        folder = self._root.locate(path)
        if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 - never raises
            raise InvalidArgument(f"{show(folder)} is a file, not a folder.", "Name the folder that holds it.")
        return folder

    def _lines(self, folder: Path, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            try:
                head, content = self._read(folder, name)
            except ExecutorError as error:
                head, content = {"name": name, "code": error.code, "detail": error.detail}, b""
            yield dump(head) + b"\n" + content
        yield b'{"end":true}\n'

    def _read(self, folder: Path, name: str) -> tuple[dict[str, Any], bytes]:
        file = self._root.locate(os.path.join(folder, name))  # noqa: PTH118 - the name may not be UTF-8
        with translate_read_errors(file):
            for _ in range(2):
                with self._root.open(file) as stream:
                    before = os.fstat(stream.fileno())
                    content = stream.read(MAX_FILE_BYTES + 1)
                    after = os.fstat(stream.fileno())
                if len(content) > MAX_FILE_BYTES:
                    raise TooLarge(f"{show(file)} has more than {MAX_FILE_BYTES} bytes.", "Download it by itself.")
                if etag_of(before) == etag_of(after):
                    sha256 = hashlib.sha256(content).hexdigest()
                    head = {"name": name, "size": len(content), "sha256": sha256, "modified_at": time_text(after)}
                    return {**head, "executable": is_executable(after)}, content
        raise Busy(f"{show(file)} changed while it was read.", "Try again when nothing is writing to it.")

    def _write(self, folder: Path, file: _File, key: str) -> BundleWritten:
        try:
            _, goal = goal_at(self._root, os.path.join(folder, file.name))  # noqa: PTH118 - as above
            partial = partial_of(goal, key)
            with translate_write_errors(goal):
                goal.parent.mkdir(parents=True, exist_ok=True)
                self._root.check(goal)
                try:
                    partial.write_bytes(file.content)
                    rename_into_place(partial, goal, file.modified_ns, file.executable)
                    executable = is_executable(goal.stat())
                except OSError:
                    with suppress(OSError):
                        partial.unlink()
                    raise
        except ExecutorError as error:
            return {"name": file.name, "code": error.code, "detail": error.detail, "executable": None}
        return {"name": file.name, "code": None, "detail": None, "executable": executable}


def check_name(name: object, *, is_windows: bool = os.name == "nt") -> str:
    """Return a name whose spelling stays inside its folder. Raises InvalidArgument."""
    parts = name.split("/") if isinstance(name, str) else [""]
    is_good = not any(part in ("", ".", "..") or "\0" in part for part in parts)
    if is_windows:
        # Drives, streams, other separators, and suffixes that Windows strips from a name.
        is_good = is_good and not any(re.search(r"[\\:]|[. ]\Z", part) for part in parts)
    if not isinstance(name, str) or not is_good:
        raise InvalidArgument(
            f"{str(name)[:200]!r} is not a valid name inside a folder.",
            "Send names relative to the folder, with '/' and without '..'.",
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"{name[:200]!r} contains a lone surrogate.", "Send names as a listing spells them."
        ) from None
    return name


def _parse(bundle: bytes) -> Iterator[_File]:
    """Yield the files of a whole bundle. Raises InvalidArgument."""
    position = count = 0
    while True:
        end = bundle.find(b"\n", position, position + MAX_LINE_BYTES)
        try:
            head = json.loads(bundle[position:end]) if end >= 0 else None
        except (ValueError, RecursionError):
            head = None
        if not isinstance(head, dict):
            raise _malformed(f"byte {position} starts no line of JSON")
        position = end + 1
        if head == {"end": True}:
            if position != len(bundle):
                raise _malformed("data follows its end")
            return
        if count == MAX_NAMES:
            raise _malformed(f"it has more than {MAX_NAMES} files")
        count += 1
        name, size = check_name(head.get("name")), head.get("size")
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(bundle) - position:
            raise _malformed(f"{name!r} has no size or too few bytes")
        content = memoryview(bundle)[position : position + size]
        position += size
        if head.get("sha256") != hashlib.sha256(content).hexdigest():
            raise _malformed(f"the bytes of {name!r} do not match its SHA-256")
        modified_ns = time_ns(head.get("modified_at"), "modified_at")
        yield _File(name, content, modified_ns, head.get("executable") is True)


def _malformed(reason: str) -> InvalidArgument:
    return InvalidArgument(
        f"The bundle is malformed: {reason}.", "Send it in the format of API.md; nothing was written."
    )


def _batch(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in larger chunks."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)

"""The routes of `/files`. See API.md."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from flask import Flask, Response, request

from ..core.arguments import integer, number, time_ns
from ..core.errors import InvalidArgument, NotFound
from ..files.bundles import Bundles
from ..files.changes import Changes
from ..files.content_root import ContentRoot, show
from ..files.digests import Digest, check_algorithm
from ..files.files import MAX_ENTRIES, Files
from ..files.previews import MAX_ROWS, Previews
from ..files.text_lines import MAX_LINES
from ..files.uploads import Upload, Uploads
from ..jobs.job import MAX_HOLD_SEC
from ..jobs.store import JobStore, parse_id
from ..wire.state import JobState
from .context import Config
from .replies import json_body, json_reply, stream_reply
from .slots import Seats, Slots

MAX_OFFSET = 2**53
MAX_FOLDERS_NAMED = 3
# Requests that may wait for changes of files.
MAX_WAITS = 32
BUNDLE = "application/vnd.smart-colab.bundle"


Folders = Callable[[], dict[str, Path]]


def add_file_routes(app: Flask, config: Config, slots: Slots) -> Files:
    """Serve the files of the content root."""
    root, notes = ContentRoot(config.root, config.state), config.state / "uploads"
    files = Files(root)
    _add_reading(app, files, slots, lambda path: _name_folders(path, root.path, config.sessions.folders))
    _add_changes(app, Changes(root, files, config.stop), config.jobs)
    _add_previews(app, Previews(root))
    _add_bundles(app, Bundles(root, notes), slots)
    _add_uploads(app, Uploads(root, notes, files.digests))
    return files


def _add_reading(
    app: Flask, files: Files, slots: Slots, naming_folders: Callable[[str], AbstractContextManager[None]]
) -> None:
    @app.get("/files/list")
    def list_files() -> Response:
        recursive = integer(request.args, "recursive", 0, 0, 1) == 1
        limit = integer(request.args, "limit", 200, 1, MAX_ENTRIES)
        with naming_folders(_path()):
            cursor, pattern = request.args.get("cursor") or None, request.args.get("name") or None
            return json_reply(files.list(_path(), recursive, limit, cursor, pattern))

    @app.get("/files/stat")
    def stat() -> Response:
        with naming_folders(_path()):
            return json_reply(files.stat(_path(), request.args.get("digest") or None))

    @app.get("/files/read")
    def read() -> Response:
        line = integer(request.args, "line", 1, -MAX_OFFSET, MAX_OFFSET)
        lines = integer(request.args, "lines", 200, 1, MAX_LINES)
        max_bytes = integer(request.args, "max_bytes", 65536, 1024, 4 * 1024 * 1024)
        with naming_folders(_path()):
            return json_reply(files.read(_path(), line, lines, max_bytes))

    @app.get("/files/download")
    def download() -> Response:
        wanted = request.headers.get("Range"), request.headers.get("If-Range")
        with naming_folders(_path()):
            return stream_reply(files.open_range(_path(), *wanted), slots)


def _add_changes(app: Flask, changes: Changes, jobs: JobStore) -> None:
    waits = Seats(MAX_WAITS)

    @app.get("/files/changes")
    def read_changes() -> Response:
        wait = number(request.args, "wait", 0, 0, MAX_HOLD_SEC)
        limit = integer(request.args, "limit", 1000, 1, MAX_ENTRIES)
        after, job = request.args.get("after") or None, request.args.get("job") or None

        def job_state() -> JobState | None:
            return jobs.get(job).record.state if job and jobs.knows(parse_id(job)) else None

        with waits.take() as may_wait:
            return json_reply(changes.read(_path(), after, limit, wait if may_wait else 0, job_state))


def _add_previews(app: Flask, previews: Previews) -> None:
    @app.get("/files/preview")
    def preview() -> Response:
        rows = integer(request.args, "rows", 1, 1, MAX_ROWS) if "rows" in request.args else None
        return json_reply(previews.make(_path(), rows))


def _add_bundles(app: Flask, bundles: Bundles, slots: Slots) -> None:
    @app.post("/files/bundle")
    def read_bundle() -> Response:
        body = json_body()
        path, names = body.get("path", ""), body.get("names")
        if not isinstance(path, str) or not isinstance(names, list):
            raise InvalidArgument(
                "'path' must be a string and 'names' a list.", 'Send {"path": "/content", "names": ["a.txt"]}.'
            )
        return Response(slots.hold(bundles.read(path, names)), mimetype=BUNDLE, direct_passthrough=True)

    @app.put("/files/bundle")
    def write_bundle() -> Response:
        return json_reply({"files": bundles.write(_path(), request.get_data(cache=False))})


def _add_uploads(app: Flask, uploads: Uploads) -> None:
    def upload() -> Upload:
        size = integer(request.args, "size", -1, 0, MAX_OFFSET)
        if "id" not in request.args:
            sha256 = _hexadecimal("sha256", request.args.get("sha256", ""))
            return uploads.find(_path(), size, sha256, Digest("sha256", sha256))
        name = _hexadecimal("id", request.args["id"])
        algorithm, _, value = request.args.get("digest", "").partition(":")
        digest = Digest(check_algorithm(algorithm), _hexadecimal("digest", value)) if algorithm else None
        return uploads.find(_path(), size, name, digest)

    @app.get("/files/upload")
    def look() -> Response:
        return json_reply(uploads.look(upload()))

    @app.put("/files/upload")
    def add() -> Response:
        offset = integer(request.args, "offset", -1, 0, MAX_OFFSET)
        # The server has the whole body before the route runs, and knows its length even if the client did not send it.
        body, length = cast(BinaryIO, request.environ["wsgi.input"]), request.content_length or 0
        _ = request.stream  # refuses a body that is too long
        return json_reply(uploads.add(upload(), offset, length, body))

    @app.post("/files/upload")
    def finish() -> Response:
        time = request.args.get("modified_at")
        modified_ns = time_ns(time, "modified_at") if time else None
        executable = integer(request.args, "executable", 0, 0, 1) == 1
        expected = request.args.get("expect_etag") or None
        return json_reply(uploads.finish(upload(), modified_ns, executable, expected))

    @app.delete("/files/upload")
    def discard() -> Response:
        return json_reply(uploads.discard(upload()))


@contextmanager
def _name_folders(path: str, root: Path, folders: Folders) -> Iterator[None]:
    """Add the sessions' current folders to the hint when a relative path is not found."""
    try:
        yield
    except NotFound as error:
        if not Path(path).is_absolute():
            moved = ((name, folder) for name, folder in folders().items() if not _is_same(folder, root))
            for name, folder in islice(moved, MAX_FOLDERS_NAMED):
                place = f" The current folder of session {show(name)} is {show(folder)}"
                file = folder / path
                is_there = os.path.exists(file)  # noqa: PTH110 - never raises
                found = f" The file is there: {show(file)}." if is_there else ""
                error.hint += f"{place}; relative paths start in {show(root)} here.{found}"
        raise


def _hexadecimal(name: str, text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise InvalidArgument(f"{name!r} lacks its 64 hexadecimal digits.", "Send them in lowercase.")
    return text


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return os.path.samefile(folder, other)  # noqa: PTH121 - as above
    except OSError:  # the folder was removed
        return True


def _path() -> str:
    return request.args.get("path", "")

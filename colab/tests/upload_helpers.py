"""Uploads into a folder, like those of a newly started executor."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.digests import Digest, Digests
from smart_colab_executor.files.uploads import Upload, Uploads
from smart_colab_executor.wire import files as wire

DATA = random.Random(1).randbytes(1_000_000)
STATE = ".smart_colab"


def uploads_in(root: Path) -> Uploads:
    content = ContentRoot(root)
    return Uploads(content, root / STATE / "uploads", Digests(content))


def named(uploads: Uploads, path: str, data: bytes = DATA) -> Upload:
    """Identify an upload as bridges do that know no other digest."""
    sha256 = hashlib.sha256(data).hexdigest()
    return uploads.find(path, len(data), sha256, Digest("sha256", sha256))


def add(uploads: Uploads, upload: Upload, start: int, stop: int, data: bytes = DATA) -> wire.Upload:
    return uploads.add(upload, start, stop - start, io.BytesIO(data[start:stop]))


def send(uploads: Uploads, path: str, data: bytes = DATA, modified_ns: int | None = None) -> wire.Upload:
    """Upload a file completely."""
    upload = named(uploads, path, data)
    add(uploads, upload, 0, len(data), data)
    return uploads.finish(upload, modified_ns)


def hidden(root: Path) -> list[Path]:
    """Return the leftovers of unfinished uploads."""
    return [*root.rglob("*.partial"), *(root / STATE).rglob("*.json")]

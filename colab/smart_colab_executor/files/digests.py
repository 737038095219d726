"""SHA-256 digests of files, made in the background and kept for as long as the file stays the same."""

from __future__ import annotations

import hashlib
import os
import threading
from io import BufferedReader
from pathlib import Path

from .content_root import ContentRoot
from .os_errors import translate_read_errors

DIGEST_TIMEOUT_SEC = 20.0
MAX_DIGESTS = 1024


class Digests:
    """The digests by path and ETag. May be asked by many threads, who then wait for the same one."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self._made: dict[tuple[str, str], str | _Digest] = {}
        self._lock = threading.Lock()

    def get(self, file: Path, etag: str) -> str | None:
        """The digest of the file that has this ETag; None: ask again, it is being made or the file changed meanwhile.

        Waits some seconds for it. Raises what reading the file raises, in plain words.
        """
        key = (str(file), etag)
        with self._lock:
            digest = self._made.get(key)
            if digest is None:
                digest = _Digest(self._root, file, etag)
                self._keep(key, digest)
        if isinstance(digest, str):
            return digest
        digest.join(DIGEST_TIMEOUT_SEC)
        if digest.is_alive():
            return None
        if digest.value is None:  # not kept, so that the next call tries again
            with self._lock:
                if self._made.get(key) is digest:
                    del self._made[key]
            if digest.fault is not None:
                with translate_read_errors(file):
                    raise digest.fault
        return digest.value

    def note(self, file: Path, etag: str, value: str) -> None:
        """Keep a digest that is known already."""
        with self._lock:
            self._keep((str(file), etag), value)

    def known(self, file: Path, etag: str) -> str | None:
        """The digest where it was made already."""
        with self._lock:
            digest = self._made.get((str(file), etag))
        return digest.value if isinstance(digest, _Digest) else digest

    def _keep(self, key: tuple[str, str], digest: str | _Digest) -> None:
        self._made.pop(key, None)
        while len(self._made) >= MAX_DIGESTS:
            del self._made[next(iter(self._made))]
        self._made[key] = digest


class _Digest(threading.Thread):
    """A SHA-256 in the making. A daemon, since hashing a large file must not hold up the end of the process."""

    def __init__(self, root: ContentRoot, file: Path, etag: str) -> None:
        super().__init__(name="sha256", daemon=True)
        self._root = root
        self._path = file
        self._etag = etag
        self.value: str | None = None
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._root.open(self._path) as stream:
                value = sha256(stream)
                if etag_of(os.fstat(stream.fileno())) == self._etag:
                    self.value = value
        except Exception as fault:
            self.fault = fault


def sha256(stream: BufferedReader) -> str:
    """Make the digest of an open file; hashlib lets other threads run meanwhile."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def etag_of(status: os.stat_result) -> str:
    """Make the strong ETag of a file, quotes included, as in the header."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'

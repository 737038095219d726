"""SHA-256 digests of files, computed in the background and cached while the file is unchanged."""

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
    """The digests by path and ETag. Thread-safe: threads that ask for the same digest wait for one computation."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self._made: dict[tuple[str, str], str | _Digest] = {}
        self._lock = threading.Lock()

    def get(self, file: Path, etag: str) -> str | None:
        """Return the digest of the file with this ETag; None while it is being computed, or when the file has changed.

        Waits up to DIGEST_TIMEOUT_SEC. Raises the errors of `translate_read_errors`.
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
        if digest.value is None:  # not cached, so that the next call tries again
            with self._lock:
                if self._made.get(key) is digest:
                    del self._made[key]
            if digest.fault is not None:
                with translate_read_errors(file):
                    raise digest.fault
        return digest.value

    def note(self, file: Path, etag: str, value: str) -> None:
        """Cache a digest that is already known."""
        with self._lock:
            self._keep((str(file), etag), value)

    def known(self, file: Path, etag: str) -> str | None:
        """Return the digest if it has already been computed."""
        with self._lock:
            digest = self._made.get((str(file), etag))
        return digest.value if isinstance(digest, _Digest) else digest

    def _keep(self, key: tuple[str, str], digest: str | _Digest) -> None:
        self._made.pop(key, None)
        while len(self._made) >= MAX_DIGESTS:
            del self._made[next(iter(self._made))]
        self._made[key] = digest


class _Digest(threading.Thread):
    """Computes a SHA-256. A daemon, since hashing a large file must not delay the end of the process."""

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
    """Compute the digest of an open file; hashlib releases the GIL meanwhile."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def etag_of(status: os.stat_result) -> str:
    """Return the strong ETag of a file, quotes included, as in the header."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'

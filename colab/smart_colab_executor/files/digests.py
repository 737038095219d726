"""Digests of files, computed beside other work and cached while the file is unchanged.

BLAKE3 is ten times as fast as SHA-256 on a processor without instructions for that. Its package has compiled parts,
and may be missing.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Protocol

from ..core.errors import InvalidArgument
from .content_root import ContentRoot
from .os_errors import translate_read_errors

try:
    from blake3 import blake3
except ImportError:
    blake3 = None  # type: ignore[assignment, misc]

DIGEST_TIMEOUT_SEC = 20.0
MAX_DIGESTS = 1024
BLOCK = 256 * 1024


class Hasher(Protocol):
    """A digest being computed; both libraries release the GIL meanwhile."""

    def update(self, data: memoryview, /) -> object:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far."""


# Fastest first.
ALGORITHMS: dict[str, Callable[[], Hasher]] = {
    **({} if blake3 is None else {"blake3": blake3}),
    "sha256": hashlib.sha256,
}
FASTEST = next(iter(ALGORITHMS))


class Digest(NamedTuple):
    """What a digest is, and how it was computed."""

    algorithm: str
    value: str
    """64 lowercase hexadecimal digits."""


def check_algorithm(name: str) -> str:
    """Return the name of a known algorithm. Raises InvalidArgument."""
    if name not in ALGORITHMS:
        raise InvalidArgument(f"{name!r} is not a supported digest.", f"Ask for {' or '.join(ALGORITHMS)}.")
    return name


class Prefix:
    """The digest of a file's first bytes, to be continued when more are there. Not thread-safe."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.length = 0
        self._hasher = ALGORITHMS[algorithm]()

    def read(self, stream: BufferedReader, stop: int | None = None) -> None:
        """Continue up to byte `stop` of the file, or to its end."""
        stream.seek(self.length)
        block = memoryview(bytearray(BLOCK))
        while stop is None or self.length < stop:
            count = stream.readinto(block if stop is None else block[: stop - self.length])
            if not count:
                return
            self._hasher.update(block[:count])
            self.length += count

    def digest(self) -> Digest:
        """Return the digest of the bytes so far."""
        return Digest(self.algorithm, self._hasher.hexdigest())


class Digests:
    """The digests by path, ETag and algorithm. Thread-safe: who asks for the same digest waits for one computation."""

    def __init__(self, root: ContentRoot) -> None:
        self._root = root
        self._made: dict[tuple[str, str, int, str], str | _Digesting] = {}
        self._lock = threading.Lock()

    def get(self, file: Path, etag: str, algorithm: str, begun: Prefix | None = None) -> Digest | None:
        """Return the digest of the file with this ETag; None while it is being computed, or when the file has changed.

        Waits up to DIGEST_TIMEOUT_SEC. `begun` is continued if nothing is known.
        Raises the errors of `translate_read_errors`.
        """
        key = _key(file, etag, algorithm)
        with self._lock:
            digest = self._made.get(key)
            if digest is None:
                digest = _Digesting(self._root, file, etag, begun or Prefix(algorithm))
                self._keep(key, digest)
        if isinstance(digest, str):
            return Digest(algorithm, digest)
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
            return None
        return Digest(algorithm, digest.value)

    def note(self, file: Path, etag: str, digest: Digest) -> None:
        """Cache a digest that is already known."""
        with self._lock:
            self._keep(_key(file, etag, digest.algorithm), digest.value)

    def known(self, file: Path, etag: str, algorithm: str) -> Digest | None:
        """Return the digest if it has already been computed."""
        with self._lock:
            digest = self._made.get(_key(file, etag, algorithm))
        value = digest.value if isinstance(digest, _Digesting) else digest
        return None if value is None else Digest(algorithm, value)

    def _keep(self, key: tuple[str, str, int, str], digest: str | _Digesting) -> None:
        self._made.pop(key, None)
        while len(self._made) >= MAX_DIGESTS:
            del self._made[next(iter(self._made))]
        self._made[key] = digest


class _Digesting(threading.Thread):
    """Computes a digest. A daemon, since hashing a large file must not delay the end of the process."""

    def __init__(self, root: ContentRoot, file: Path, etag: str, begun: Prefix) -> None:
        super().__init__(name="digest", daemon=True)
        self._root = root
        self._path = file
        self._etag = etag
        self._begun = begun
        self.value: str | None = None
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._root.open(self._path) as stream:
                self._begun.read(stream)
                if etag_of(os.fstat(stream.fileno())) == self._etag:
                    self.value = self._begun.digest().value
        except Exception as fault:
            self.fault = fault


def etag_of(status: os.stat_result) -> str:
    """Return the strong ETag of a file, quotes included, as in the header."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'


def _key(file: Path, etag: str, algorithm: str) -> tuple[str, str, int, str]:
    """Return the key of a digest; who sets back a file's time changes that of its entry."""
    try:
        changed = file.stat().st_ctime_ns
    except OSError:
        changed = 0
    return str(file), etag, changed, algorithm

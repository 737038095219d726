"""The page at `/`: static files, which hold no secret. The token stays in the browser; all data comes from the API."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from pathlib import Path

from flask import Flask, Response, request

from .middleware import OPEN_PREFIX

FOLDER = Path(__file__).parents[1] / "page"
INDEX = "index.html"
# Output that is HTML is written into this one, in a frame without scripts.
FRAME = "frame.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
HEADERS = {
    # Looked at again at each use, so that no page is of two versions.
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin"
)


class _Static:
    """A file of the page."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _bodies(self) -> tuple[bytes, bytes]:
        """The file as it is, and compressed."""
        body = self._path.read_bytes()
        return body, gzip.compress(body, mtime=0)

    def reply(self) -> Response:
        is_packed = request.accept_encodings["gzip"] > 0
        body = self._bodies[is_packed]
        reply = Response(body, 200, HEADERS, content_type=TYPES[self._path.suffix])
        reply.headers["Content-Security-Policy"] = FRAME_POLICY if self._path.name == FRAME else PAGE_POLICY
        reply.vary.add("Accept-Encoding")
        if is_packed:
            reply.content_encoding = "gzip"
        reply.set_etag(hashlib.sha256(body).hexdigest()[:32])
        reply.make_conditional(request)
        return reply


def add_page_routes(app: Flask, folder: Path = FOLDER) -> None:
    """Serve the page; none of its files needs a token."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in TYPES):
        name = path.relative_to(folder).as_posix()
        # One by one, so that any other path is refused like every unknown one.
        app.add_url_rule("/" if name == INDEX else f"/page/{name}", OPEN_PREFIX + name, _Static(path).reply)

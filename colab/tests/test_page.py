"""The files of the page at `/`, and their headers; `page_in_chromium.py` looks at the page in a browser."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smart_colab_executor.http.page import FOLDER, add_page_routes

FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
OWN = [path for path in FILES if path.parent == FOLDER]
MAX_BYTES = 150_000
MAX_LINES = 400


@pytest.fixture
def browser() -> Iterator[FlaskClient]:
    app = Flask(__name__, static_folder=None)
    add_page_routes(app)
    with app.test_client() as client:
        yield client


def address(path: Path) -> str:
    name = path.relative_to(FOLDER).as_posix()
    return "/" if name == "index.html" else f"/page/{name}"


def policy(reply: TestResponse) -> dict[str, list[str]]:
    parts = reply.headers["Content-Security-Policy"].split("; ")
    return {name: values for name, *values in map(str.split, parts)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_served_with_its_type_and_strict_headers(browser: FlaskClient, path: Path) -> None:
    reply = browser.get(address(path))
    assert (reply.status_code, reply.data) == (200, path.read_bytes())
    kinds = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert reply.mimetype == kinds.get(path.suffix, "text/plain")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-cache"
    assert policy(reply)["default-src"] == ["'none'"]


def test_the_page_runs_and_asks_only_what_comes_from_the_executor(browser: FlaskClient) -> None:
    found = policy(browser.get("/"))
    assert found["script-src"] == found["connect-src"] == found["style-src"] == found["frame-src"] == ["'self'"]
    assert found["require-trusted-types-for"] == ["'script'"]
    assert found["frame-ancestors"] == found["base-uri"] == found["form-action"] == ["'none'"]
    assert "unsafe" not in str(found)


def test_html_of_a_job_can_run_nothing_and_fetch_nothing(browser: FlaskClient) -> None:
    found = policy(browser.get("/page/frame.html"))
    assert "script-src" not in found
    assert "allow-scripts" not in found["sandbox"]
    assert (found["img-src"], found["frame-ancestors"]) == (["data:"], ["'self'"])


def test_what_a_browser_has_is_not_sent_again(browser: FlaskClient) -> None:
    plain = browser.get("/")
    packed = browser.get("/", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    again = browser.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == packed.headers["ETag"]


def test_the_page_is_small_and_names_no_other_host() -> None:
    assert sum(path.stat().st_size for path in FILES) < MAX_BYTES
    for path in OWN:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= MAX_LINES, path.name
        assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text.replace("http://www.w3.org/2000/svg", "")), (
            path.name
        )


def test_output_is_never_parsed_as_html_in_the_page() -> None:
    scripts = {path.name: path.read_text("utf-8") for path in OWN if path.suffix == ".js"}
    parsing = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
    found = [f"{name}: {hit}" for name, text in scripts.items() for hit in parsing.findall(text)]
    assert found == ["rich.js: innerHTML"], "only the frame, whose policy runs nothing, has HTML of a job"


def test_modules_are_asked_for_at_once() -> None:
    first = (FOLDER / "index.html").read_text("utf-8")
    for path in OWN:
        if path.suffix == ".js" and path.name != "app.js":
            assert f'<link rel="modulepreload" href="page/{path.name}">' in first


def test_the_library_is_as_published_with_its_licence() -> None:
    library = (FOLDER / "vendor" / "uPlot.iife.min.js").read_bytes()
    assert library.startswith(b"/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert hashlib.sha256(library).hexdigest() == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert "MIT License" in (FOLDER / "vendor" / "uPlot-LICENSE.txt").read_text("utf-8")

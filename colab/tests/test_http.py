"""Common parts of requests and replies, and the routes of the machine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from harness import TOKEN, Executor, stranger

from smart_colab_executor.wire import API_VERSION

# Parameters are equal in every test process, or the tests cannot be distributed.
UNKNOWN_ID = "8ba4f3c0-52a4-4e0c-9d8e-0d6f2a0c7b11"
ROUTES = [
    ("PUT", f"/jobs/{UNKNOWN_ID}"),
    ("GET", "/jobs"),
    ("GET", f"/jobs/{UNKNOWN_ID}"),
    ("GET", f"/jobs/{UNKNOWN_ID}/events"),
    ("GET", f"/jobs/{UNKNOWN_ID}/code"),
    ("GET", f"/jobs/{UNKNOWN_ID}/log"),
    ("GET", f"/jobs/{UNKNOWN_ID}/blobs/1"),
    ("POST", f"/jobs/{UNKNOWN_ID}/interrupt"),
    ("GET", "/sessions"),
    ("POST", "/sessions/main/restart"),
    ("DELETE", "/sessions/main"),
    ("GET", "/variables"),
    ("POST", "/cleanup"),
    ("GET", "/probe"),
    ("POST", "/execute"),
    ("POST", "/shutdown"),
    ("GET", "/files/list"),
    ("GET", "/files/changes"),
    ("GET", "/files/stat"),
    ("GET", "/files/read"),
    ("GET", "/files/download"),
    ("POST", "/files/bundle"),
    ("PUT", "/files/bundle"),
    ("GET", "/files/upload"),
    ("PUT", "/files/upload"),
    ("POST", "/files/upload"),
    ("DELETE", "/files/upload"),
    ("GET", "/no/such/route"),
    ("DELETE", "/jobs"),
    ("POST", "/health"),
    ("OPTIONS", "/jobs"),
    ("GET", "/page/"),
    ("GET", "/page/unknown.js"),
    ("POST", "/page/app.js"),
    ("POST", "/"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part)
@pytest.mark.parametrize(
    "token", [None, "wrong", TOKEN + "x", "ü", ""], ids=["none", "wrong", "longer", "odd", "blank"]
)
def test_nothing_is_revealed_without_the_token(executor: Executor, method: str, path: str, token: str | None) -> None:
    if token == "":
        reply = executor.call(method, path, token=None, Authorization="Bearer ")
    elif token == "ü":
        reply = executor.call(method, path, token=None, Authorization="Bearer Ã¼", CF_Connecting_IP=stranger())
    else:
        reply = executor.call(method, path, token=token, CF_Connecting_IP=stranger())
    assert (reply.status, reply.json["code"]) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_another_scheme_is_refused(executor: Executor) -> None:
    def ask(authorization: str) -> int:
        return executor.call(
            "GET", "/jobs", token=None, Authorization=authorization, CF_Connecting_IP=stranger()
        ).status

    assert ask(f"Basic {TOKEN}") == 401
    assert ask(TOKEN) == 401
    assert ask(f"bearer {TOKEN}") == 200


def test_health_needs_no_token(executor: Executor) -> None:
    reply = executor.call("GET", "/health", token=None)
    assert reply.status == 200
    health = reply.json
    assert sorted(health) == ["memory_available_gb", "memory_used_pct", "status", "uptime_minutes", "version"]
    assert health["status"] == "ok"


def test_the_page_needs_no_token_and_says_nothing_of_this_machine(executor: Executor) -> None:
    for path in ("/", "/page/app.js", "/page/vendor/uPlot.iife.min.js"):
        reply = executor.call("GET", path, token=None)
        assert reply.status == 200
        assert not any(said in reply.body for said in (TOKEN.encode(), str(executor.root).encode()))
        assert executor.call("GET", path, token="wrong", CF_Connecting_IP=stranger()).status == 200


def test_every_reply_names_boot_id_request_id_and_api_version(executor: Executor) -> None:
    for path, token in (("/health", None), ("/jobs", None), ("/jobs", TOKEN), ("/nothing", TOKEN)):
        reply = executor.call("GET", path, token=token, X_Request_Id="abc-1.2_3")
        assert reply.headers["X-Boot-Id"] == executor.ready["boot_id"]
        assert reply.headers["X-Smart-Colab-Digests"].split(", ")[-1] == "sha256"
        assert reply.headers["X-Request-Id"] == "abc-1.2_3"
        assert reply.headers["X-Smart-Colab-Api"] == str(API_VERSION)


@pytest.mark.parametrize("given", ["a b", "x" * 65, "<script>"])
def test_an_invalid_request_id_is_replaced(executor: Executor, given: str) -> None:
    answered = executor.call("GET", "/health", X_Request_Id=given).headers["X-Request-Id"]
    assert str(uuid.UUID(answered)) == answered


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/no/such/route", None, 404, "not_found"),
        ("DELETE", "/jobs", None, 405, "invalid_argument"),
        ("POST", "/cleanup", b"no json", 400, "invalid_argument"),
        ("POST", "/cleanup", b"\xff\xfe", 400, "invalid_argument"),
        ("POST", "/cleanup", b"[" * 100_000, 400, "invalid_argument"),
        ("POST", "/execute", [], 400, "invalid_argument"),
        ("POST", "/execute", b'{"code": "\\ud800"}', 400, "invalid_argument"),
        ("PUT", f"/jobs/{UNKNOWN_ID}", b"x" * (8 * 1024 * 1024 + 1), 413, "invalid_argument"),
        ("GET", "/files/list?limit=0", None, 400, "invalid_argument"),
        ("GET", "/files/stat?path=missing", None, 404, "not_found"),
        ("GET", "/files/download?path=.", None, 409, "is_a_directory"),
    ],
)
def test_errors_are_problem_json(
    executor: Executor, method: str, path: str, body: object, status: int, code: str
) -> None:
    reply = executor.call(method, path, body)
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json
    assert sorted(problem) == ["code", "detail", "hint", "retryable", "status", "title", "type"]
    assert (reply.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == "about:blank"
    assert problem["detail"]
    assert problem["retryable"] is False


def test_the_allowed_methods_are_named(executor: Executor) -> None:
    assert "GET" in executor.call("DELETE", "/jobs").headers["Allow"]


def test_long_json_is_gzipped_when_accepted(executor: Executor) -> None:
    job = executor.run("print('x' * 5000)")
    path = f"/jobs/{job.job['id']}/events"
    small = executor.call("GET", path, Accept_Encoding="gzip")
    plain = executor.call("GET", path)
    assert small.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Content-Encoding"] is None
    assert len(small.body) < len(plain.body)
    assert small.json == plain.json
    assert executor.call("GET", "/health", Accept_Encoding="gzip").headers["Content-Encoding"] is None
    assert (
        executor.call("GET", f"/jobs/{job.job['id']}/log", Accept_Encoding="gzip").headers["Content-Encoding"] is None
    )


def test_the_probe_has_all_its_parts(executor: Executor) -> None:
    probe = executor.get("/probe")
    assert {"executor", "platform", "python", "compute", "gpu", "gpu_note", "storage", "packages", "limits"} < set(
        probe
    )
    assert probe["executor"]["boot_id"] == executor.ready["boot_id"]
    assert probe["executor"]["root"] == str(executor.root)
    assert probe["limits"] == {
        "max_timeout_sec": 43200,
        "max_wait_sec": 25,
        "max_body_bytes": 8388608,
        "max_code_head_chars": 120,
        "session_name": "[A-Za-z0-9_-]{1,64}",
    }
    assert probe["sessions"][0]["name"] == "main"


def test_files_are_served(executor: Executor) -> None:
    (executor.root / "data.txt").write_text("0123456789")
    assert executor.get("/files/read?path=data.txt&line=-1&lines=5")["text"] == "0123456789"
    assert "data.txt" in [entry["name"] for entry in executor.get("/files/list?path=.&limit=10000")["entries"]]
    for query in (
        "list?limit=10001",
        "read?path=data.txt&line=0",
        "read?path=data.txt&lines=10001",
        "read?path=data.txt&max_bytes=9",
    ):
        assert executor.call("GET", f"/files/{query}").json["code"] == "invalid_argument"
    part = executor.call("GET", "/files/download?path=data.txt", Range="bytes=7-")
    assert (part.status, part.body) == (206, b"789")


def test_a_jobs_code_is_returned_as_sent(executor: Executor) -> None:
    code = "\n\nx = 'é😀'  # \r\n\tend\n"
    reply = executor.call("GET", f"/jobs/{executor.submit(code)}/code")
    assert (reply.status, reply.body.decode(), reply.headers["Content-Type"]) == (
        200,
        code,
        "text/plain; charset=utf-8",
    )
    assert executor.call("GET", f"/jobs/{UNKNOWN_ID}/code").json["code"] == "not_found"


def test_the_log_has_no_code_no_query_no_token_and_no_file_of_the_page(start: Callable[..., Executor]) -> None:
    executor = start()
    executor.run("secret_code = 'hunter2'")
    executor.call("GET", "/files/list?path=secret_path")
    executor.call("GET", "/page/app.js", token=None)
    executor.call("POST", "/page/app.js")
    executor.call("GET", "/jobs", token="secret-wrong-token", X_Request_Id="seen-in-the-log")
    log = executor.log.read_text()
    assert "GET '/jobs' 401" in log
    assert "seen-in-the-log" in log
    assert ("GET '/page/app.js'" in log, "POST '/page/app.js' 405" in log) == (False, True), "only errors of the page"
    for secret in ("hunter2", "secret_path", "secret-wrong-token", TOKEN):
        assert secret not in log


def test_a_path_cannot_forge_lines_in_the_log(start: Callable[..., Executor]) -> None:
    executor = start()
    executor.call("GET", "/%0aforged", token=None)
    assert "forged" in executor.log.read_text()
    assert "\nforged" not in executor.log.read_text()


def test_the_body_of_an_event_page_is_strict_json(executor: Executor) -> None:
    job = executor.run("from IPython.display import display\ndisplay({'application/json': {'a': 1.5}}, raw=True)")
    raw = executor.call("GET", f"/jobs/{job.job['id']}/events").body

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(raw, parse_constant=refuse)

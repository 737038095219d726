"""API.md, the protocol's types and the executor's replies agree."""

import gzip
import json
import re
import uuid
from typing import Any

import pytest
from contract import PAGE, examples, faults, kind_of
from harness import Executor

from smart_colab_executor.core.arguments import SESSION_NAME
from smart_colab_executor.files.digests import ALGORITHMS, FASTEST
from smart_colab_executor.http.middleware import MAX_BODY_BYTES
from smart_colab_executor.jobs.job import MAX_CODE_HEAD_CHARS, MAX_HOLD_SEC
from smart_colab_executor.jobs.request import MAX_TIMEOUT_SEC, JobRequest
from smart_colab_executor.wire import API_VERSION

EXAMPLES = examples()


def example(name: str) -> Any:
    return next(value for found, value in EXAMPLES if found == name)


@pytest.mark.parametrize(("name", "value"), EXAMPLES)
def test_every_example_matches_its_type(name: str, value: Any) -> None:
    assert name, f"an example has no type: {value!r:.80}"
    assert faults(value, kind_of(name)) == []


def test_examples_are_only_in_named_blocks() -> None:
    assert re.findall(r'`\{\s*".*?`', PAGE) == []
    assert PAGE.count("```json") == len(re.findall(r"^```json \w+$", PAGE, re.MULTILINE))


def test_the_pages_limits_match_the_executors() -> None:
    assert example("Probe")["limits"] == {
        "max_timeout_sec": MAX_TIMEOUT_SEC,
        "max_wait_sec": MAX_HOLD_SEC,
        "max_body_bytes": MAX_BODY_BYTES,
        "max_code_head_chars": MAX_CODE_HEAD_CHARS,
        "session_name": SESSION_NAME.pattern,
    }
    assert example("Probe")["executor"]["api"] == API_VERSION
    assert f"`X-Smart-Colab-Digests: {', '.join(ALGORITHMS)}`" in PAGE
    assert JobRequest.parse(example("JobRequest")).loop == example("JobRequest")["loop"]


@pytest.mark.parametrize(
    ("value", "kind", "fault"),
    [
        ({"ended_jobs": ["a"], "more": 1}, "Removed", ".more is in no Removed"),
        ({}, "Removed", ".ended_jobs is missing"),
        ({"ended_jobs": [1]}, "Removed", ".ended_jobs[0]: 1 is no"),
        ({"signal": None, "code": True, "out_of_memory": False}, "KernelExit", ".code: True is no"),
        ({"end": False}, "BundleLine", ".end: False is no"),
    ],
)
def test_a_value_of_the_wrong_type_is_detected(value: Any, kind: str, fault: str) -> None:
    found = faults(value, kind_of(kind))
    assert len(found) == 1
    assert fault in found[0]


def test_replies_of_the_executor_match_the_types_on_the_page(executor: Executor) -> None:
    def check(name: str, text: bytes) -> None:
        assert faults(json.loads(text), kind_of(name)) == [], text

    session = "contract"
    (executor.root / "contract").mkdir(exist_ok=True)
    (executor.root / "contract" / "a.txt").write_text("one\ntwo\n")
    (executor.root / "contract" / "a.gz").write_bytes(gzip.compress(b"one\n"))
    job_id = str(uuid.uuid4())
    code = "print(1)\ndisplay('a', display_id='b')\ni"
    loop = {"start": 0, "stop": 2, "total": 2}
    put = f"/jobs/{job_id}?wait=25&linger=5"
    asked = {"code": code, "session": session, "loop": loop}
    sha256 = "0" * 64
    for kind, method, path, body in [
        ("EventPage", "PUT", put, asked),
        ("EventPage", "GET", f"/jobs/{job_id}/events", None),
        ("JobReply", "GET", f"/jobs/{job_id}", None),
        ("JobList", "GET", f"/jobs?session={session}", None),
        ("Problem", "GET", f"/jobs/{uuid.uuid4()}", None),
        ("Execution", "POST", "/execute", {"code": "x = 1\n1/0", "session": session}),
        ("SessionList", "GET", "/sessions", None),
        ("Variables", "GET", f"/variables?session={session}", None),
        ("Cleanup", "POST", "/cleanup", {"session": session, "variables": ["x"]}),
        ("Problem", "POST", "/cleanup", {"session": session, "variables": ["x"]}),
        ("Cleanup", "POST", "/cleanup", {"session": session}),
        ("Restarted", "POST", f"/sessions/{session}/restart", None),
        ("Removed", "DELETE", f"/sessions/{session}", None),
        ("Health", "GET", "/health", None),
        ("Probe", "GET", "/probe", None),
        ("FileList", "GET", "/files/list?path=contract", None),
        ("FileChanges", "GET", f"/files/changes?path=contract&wait=2&job={job_id}", None),
        ("FileStat", "GET", "/files/stat?path=contract/a.txt&digest=sha256", None),
        ("FileStat", "GET", f"/files/stat?path=contract/a.txt&digest={FASTEST}", None),
        ("FileStat", "GET", "/files/stat?path=contract", None),
        ("FileText", "GET", "/files/read?path=contract/a.txt", None),
        ("FilePreview", "GET", "/files/preview?path=contract/a.txt", None),
        ("FilePreview", "GET", "/files/preview?path=contract/a.gz&rows=5", None),
        ("Upload", "GET", f"/files/upload?path=contract/b.bin&size=1&sha256={sha256}", None),
        ("Upload", "GET", f"/files/upload?path=contract/a.txt&size=8&id={sha256}", None),
    ]:
        check(kind, executor.call(method, path, body).body)
    bundle = executor.call("POST", "/files/bundle", {"path": "contract", "names": ["a.txt", "none.txt"]}).body
    head, missing, end = (bundle.splitlines(keepends=True)[at] for at in (0, -2, -1))
    for line in (head, missing, end):
        check("BundleLine", line)
    check("BundleReply", executor.call("PUT", "/files/bundle?path=contract", bundle.replace(missing, b"")).body)
    check("Ready", json.dumps(executor.ready).encode())
    executor.call("GET", "/jobs", token=None)
    for line in (executor.root / ".smart_colab" / "audit.jsonl").read_bytes().splitlines():
        check("AuditLine", line)

"""Jobs run exactly once, in order, and keep all their output."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import psutil
import pytest
from harness import Executor


def put(executor: Executor, job_id: str, query: str = "", **body: Any) -> Any:
    return executor.call("PUT", f"/jobs/{job_id}{query}", body)


def test_quick_code_is_finished_in_the_reply_to_the_put(executor: Executor) -> None:
    job_id = str(uuid.uuid4())
    reply = put(executor, job_id, "?wait=25&linger=5", code="'4' + '2'")
    assert reply.status == 201
    page = reply.json
    assert [event["type"] for event in page["events"]] == ["started", "execute_result", "finished"]
    assert [event["seq"] for event in page["events"]] == [1, 2, 3]
    assert page["events"][1]["data"]["text/plain"] == "'42'"
    assert (page["next"], page["more"]) == (3, False)
    job = page["job"]
    assert (job["id"], job["state"], job["reason"], job["session"]) == (job_id, "succeeded", None, "main")
    assert job["kernel_id"] == page["events"][0]["kernel_id"]
    assert job["boot_id"] == executor.ready["boot_id"]
    assert job["last_seq"] == 3
    assert executor.get(f"/jobs/{job_id}")["job"] == job


def test_a_repeated_put_does_not_run_the_code_again(executor: Executor) -> None:
    executor.run("runs = 0")
    job_id = str(uuid.uuid4())
    assert put(executor, job_id, code="runs += 1").status == 201
    assert put(executor, job_id, code="runs += 1", session="main", timeout_sec=600, loop=None).status == 200
    executor.follow(job_id)
    assert put(executor, job_id, code="runs += 1").status == 200
    assert executor.run("print(runs)").stdout == "1\n"


def test_simultaneous_puts_run_the_code_once(executor: Executor) -> None:
    executor.run("runs = 0")
    job_id = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: put(executor, job_id, "?wait=5", code="runs += 1"), range(8)))
    assert sorted(reply.status for reply in replies) == [200] * 7 + [201]
    assert executor.run("print(runs)").stdout == "1\n"


@pytest.mark.parametrize(
    "other",
    [{"code": "2"}, {"session": "b"}, {"timeout_sec": 5}, {"loop": {"stop": 1}}],
    ids=lambda other: next(iter(other)),
)
def test_a_different_body_under_the_same_id_is_a_conflict(executor: Executor, other: dict[str, Any]) -> None:
    job_id = str(uuid.uuid4())
    assert put(executor, job_id, code="1").status == 201
    reply = put(executor, job_id, **{"code": "1", **other})
    assert (reply.status, reply.json["code"]) == (409, "job_conflict")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": 1},
        {"code": "1", "session": "a b"},
        {"code": "1", "session": ""},
        {"code": "1", "timeout_sec": 0},
        {"code": "1", "timeout_sec": 43201},
        {"code": "1", "timeout_sec": True},
        {"code": "1", "loop": {}},
        {"code": "1", "loop": {"start": 3, "stop": 2}},
        {"code": "1", "loop": {"stop": 2, "on_error": "ignore"}},
        [],
    ],
)
def test_a_malformed_job_is_refused(executor: Executor, body: object) -> None:
    reply = executor.call("PUT", f"/jobs/{uuid.uuid4()}", body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/no-uuid",
        "/jobs/{}/events?after=x",
        "/jobs/{}/events?wait=26",
        "/jobs/{}/events?max_bytes=10",
        "/jobs?state=odd",
    ],
)
def test_malformed_parameters_are_refused(executor: Executor, path: str) -> None:
    job_id = executor.submit("1")
    reply = executor.call("GET", path.format(job_id))
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")


def test_streams_are_ordered_and_separate(executor: Executor) -> None:
    job = executor.run("import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('ü€😀')")
    assert "".join(event["text"] for event in job.of("stream") if event["name"] == "stderr") == "b\n"
    assert job.stdout == "a\nü€😀\n"


def test_unencodable_text_does_not_break_the_events(executor: Executor) -> None:
    job = executor.run("print('\\ud800x')")
    assert job.state == "succeeded"
    assert job.stdout.endswith("x\n")


def test_output_of_subprocesses_and_descriptors_is_captured(executor: Executor) -> None:
    job = executor.run("import os, subprocess, time\nsubprocess.run(['echo', 'from afar'])\ntime.sleep(0.5)")
    assert "from afar" in job.stdout


def test_an_error_has_its_traceback(executor: Executor) -> None:
    job = executor.run("def f():\n    return 1 / 0\nf()")
    assert (job.state, job.reason) == ("failed", "python_error")
    [error] = job.of("error")
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert any("return" in line for line in error["traceback"])
    assert job.job["variables_lost"] is False


def test_a_job_runs_after_one_that_failed(executor: Executor) -> None:
    failing, following = executor.submit("1 / 0"), executor.submit("print('still here')")
    assert executor.follow(failing).state == "failed"
    assert executor.follow(following).stdout == "still here\n"


def test_a_figure_becomes_a_blob(executor: Executor) -> None:
    pytest.importorskip("matplotlib")
    job = executor.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    [shown] = job.of("display_data")
    blob = shown["data"]["image/png"]
    path = f"/jobs/{job.job['id']}/blobs/{blob['blob']}"
    reply = executor.call("GET", path)
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.body.startswith(b"\x89PNG")
    assert len(reply.body) == blob["bytes"]
    part = executor.call("GET", path, Range="bytes=1-3")
    assert (part.status, part.body) == (206, b"PNG")


def test_rich_output_keeps_its_mime_types(executor: Executor) -> None:
    job = executor.run(
        "from IPython.display import display\n"
        "display({'text/html': '<b>x</b>', 'application/json': {'a': [1, None]}, 'text/plain': 'x'}, raw=True)\n"
        "handle = display({'text/plain': '1'}, raw=True, display_id='d')\n"
        "display({'text/plain': '2'}, raw=True, display_id='d', update=True)\n"
    )
    first, second, third = job.of("display_data")
    assert first["data"] == {"text/html": "<b>x</b>", "application/json": {"a": [1, None]}, "text/plain": "x"}
    assert "display_id" not in first
    assert "update" not in second
    assert second["display_id"] == third["display_id"] == "d"
    assert third["update"] is True
    assert third["data"] == {"text/plain": "2"}


def test_clearing_output_is_an_event_and_the_log_keeps_the_text(executor: Executor) -> None:
    job = executor.run("from IPython.display import clear_output\nprint('one')\nclear_output(wait=True)\nprint('two')")
    kinds = [kind for kind, _ in groupby(event["type"] for event in job.events[1:-1])]  # a line may be split
    assert kinds == ["stream", "clear_output", "stream"]
    assert job.of("clear_output")[0]["wait"] is True
    assert executor.call("GET", f"/jobs/{job.job['id']}/log").body == b"one\ntwo\n"


def test_a_large_text_becomes_a_blob(executor: Executor) -> None:
    job = executor.run("from IPython.display import HTML\nHTML('x' * 300_000)")
    [result] = job.of("execute_result")
    assert result["data"]["text/html"]["bytes"] == 300_000
    reply = executor.call("GET", f"/jobs/{job.job['id']}/blobs/{result['data']['text/html']['blob']}")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.body == b"x" * 300_000
    missing = executor.call("GET", f"/jobs/{job.job['id']}/blobs/99")
    assert (missing.status, missing.json["code"]) == (404, "not_found")


def test_the_log_holds_all_text_and_serves_ranges(executor: Executor) -> None:
    job = executor.run("print('one')\nprint('two', end='')\n3")
    path = f"/jobs/{job.job['id']}/log"
    whole = executor.call("GET", path)
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.body == b"one\ntwo\n3\n"
    assert job.job["log_bytes"] == len(whole.body)
    part = executor.call("GET", path, Range="bytes=4-6")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"two", "bytes 4-6/10")
    beyond = executor.call("GET", path, Range="bytes=10-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
    assert beyond.json["code"] == "invalid_argument"


def test_a_long_text_is_split(executor: Executor) -> None:
    job = executor.run("print('x' * 200_000, end='')")
    assert all(len(event["text"]) <= 65536 for event in job.of("stream"))
    assert job.stdout == "x" * 200_000


def test_pages_are_bounded_and_complete(executor: Executor) -> None:
    job_id = executor.submit("for k in range(40):\n    print('x' * 9_000, flush=True)")
    executor.follow(job_id)
    after, seqs, more = 0, [], True
    while more:
        reply = executor.call("GET", f"/jobs/{job_id}/events?after={after}&max_bytes=20000")
        page = reply.json
        assert len(page["events"]) >= 1
        assert len(json.dumps(page["events"])) < 30_000
        seqs += [event["seq"] for event in page["events"]]
        after, more = page["next"], page["more"]
    assert seqs == list(range(1, executor.get(f"/jobs/{job_id}")["job"]["last_seq"] + 1))
    assert executor.get(f"/jobs/{job_id}/events?after={after}&wait=25")["events"] == []


def test_a_page_has_at_least_one_event_however_large(executor: Executor) -> None:
    job = executor.run("print('x' * 60_000, end='')")
    page = executor.get(f"/jobs/{job.job['id']}/events?after=1&max_bytes=1024")
    # A stream is split into pieces of 16 Ki characters.
    assert [len(event["text"]) for event in page["events"]] == [16_384]
    assert page["more"] is True


def test_a_long_poll_wakes_at_the_first_event(executor: Executor) -> None:
    job_id = executor.submit("import time\ntime.sleep(1)\nprint('awake', flush=True)\ntime.sleep(60)")
    page = executor.get(f"/jobs/{job_id}/events?after=1&wait=25&linger=0")
    assert [event["text"] for event in page["events"]] == ["awake\n"]
    assert page["job"]["state"] == "running"
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.follow(job_id)


def test_a_poll_collects_events_while_it_lingers(executor: Executor) -> None:
    code = "import time\nfor k in range(100):\n    print(k, flush=True)\n    time.sleep(0.02)"
    job_id = executor.submit(code)
    pages, after, final = 0, 0, False
    while not final:
        page = executor.get(f"/jobs/{job_id}/events?after={after}&wait=25&linger=5")
        pages, after, final = pages + 1, page["next"], page["job"]["state"] == "succeeded"
    assert pages <= 3


def test_a_poll_without_wait_returns_existing_events(executor: Executor) -> None:
    job_id = executor.submit("import time\ntime.sleep(60)")
    executor.get(f"/jobs/{job_id}/events?after=0&wait=25&linger=0")
    page = executor.get(f"/jobs/{job_id}/events?after=1")
    assert (page["events"], page["next"], page["more"]) == ([], 1, False)
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.follow(job_id)


def test_the_end_of_a_job_ends_the_linger(executor: Executor) -> None:
    # This many full lingers would exceed the test's timeout.
    for _ in range(30):
        put(executor, str(uuid.uuid4()), "?wait=25&linger=5", code="1")


def test_a_poll_past_the_end_does_not_wait(executor: Executor) -> None:
    job = executor.run("1")
    # This many full waits would exceed the test's timeout.
    for _ in range(6):
        executor.get(f"/jobs/{job.job['id']}/events?after={job.job['last_seq']}&wait=25")


def test_200_mb_are_printed_without_loss_in_bounded_memory(executor: Executor) -> None:
    process = psutil.Process(executor.process.pid)
    before = process.memory_info().rss
    job_id = executor.submit(
        "import hashlib\n"
        "digest = hashlib.md5()\n"
        "for k in range(20_000):\n"
        "    line = f'{k:06d} ' + chr(97 + k % 26) * 9_992\n"
        "    print(line)\n"
        "    digest.update(line.encode() + b'\\n')\n"
        "print('x' * 3_000_000)\n"
        "digest.update(b'x' * 3_000_000 + b'\\n')\n"
        "from pathlib import Path\n"
        "count = Path('digest').write_text(digest.hexdigest())"
    )
    peak = before
    while executor.get(f"/jobs/{job_id}")["job"]["state"] in ("queued", "running"):
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.05)
    job = executor.get(f"/jobs/{job_id}")["job"]
    assert job["state"] == "succeeded"
    log = executor.call("GET", f"/jobs/{job_id}/log").body
    assert len(log) == job["log_bytes"] == 203_000_001
    assert hashlib.md5(log).hexdigest() == (executor.root / "digest").read_text()
    assert peak - before < 400e6


def test_many_small_messages_are_all_kept(executor: Executor) -> None:
    job = executor.run("for k in range(5_000):\n    print(k, flush=True)")
    assert job.stdout == "".join(f"{k}\n" for k in range(5_000))


def test_jobs_are_listed_newest_first(executor: Executor) -> None:
    first, second = executor.run("1").job["id"], executor.run("1 / 0").job["id"]
    listed = [job["id"] for job in executor.get("/jobs?limit=2")["jobs"]]
    assert listed == [second, first]
    failed = executor.get("/jobs?state=failed&limit=1")["jobs"]
    assert [job["id"] for job in failed] == [second]


def test_an_unknown_job_is_not_found(executor: Executor) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/log"), ("POST", "/interrupt"), ("GET", "/blobs/1")):
        reply = executor.call(method, f"/jobs/{uuid.uuid4()}{path}")
        assert (reply.status, reply.json["code"]) == (404, "not_found")


def test_the_code_head_is_a_telling_line(executor: Executor) -> None:
    job = executor.run("import os\nx = 1\nprint(x, '" + "x" * 200 + "')")
    assert job.job["code_head"] == "print(x, '" + "x" * 110


def test_magics_and_top_level_await_work(executor: Executor) -> None:
    assert "magic" in executor.run("%pwd\n!echo magic").stdout
    assert executor.run("import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')").stdout == "awaited\n"


def test_input_fails_at_once(executor: Executor) -> None:
    job = executor.run("input('name? ')")
    assert (job.state, job.reason) == ("failed", "python_error")
    assert job.of("error")[0]["ename"] == "StdinNotImplementedError"


def test_memory_is_reported_at_the_end(executor: Executor) -> None:
    [finished] = executor.run("1").of("finished")
    assert finished["memory_before_gb"] > 0
    assert finished["memory_after_gb"] > 0
    assert isinstance(finished["memory_delta_mb"], float)


def test_execute_returns_the_whole_result(executor: Executor) -> None:
    done = executor.post(
        "/execute", {"code": "import sys\nprint('o')\nprint('e', file=sys.stderr)\n6 * 7", "timeout": 30}
    )
    assert done["success"] is True
    assert (done["state"], done["stdout"], done["stderr"], done["result"]) == ("succeeded", "o\n", "e\n", "42")
    assert done["error"] is None
    assert executor.get(f"/jobs/{done['job_id']}")["job"]["timeout_sec"] == 30
    failed = executor.post("/execute", {"code": "1 / 0"})
    assert failed["success"] is False
    assert failed["error"]["ename"] == "ZeroDivisionError"


def test_execute_keeps_the_end_of_long_output(executor: Executor) -> None:
    done = executor.post("/execute", {"code": "print('a' * 2_000_000 + 'end')"})
    assert len(done["stdout"]) == 1024 * 1024
    assert done["stdout"].endswith("end\n")


def test_the_log_of_a_job_that_shows_nothing_is_empty(executor: Executor) -> None:
    job = executor.run("shown = None")
    reply = executor.call("GET", f"/jobs/{job.job['id']}/log")
    assert (reply.status, reply.body) == (200, b"")


def test_a_kernel_keeps_its_history_out_of_the_users_file(executor: Executor) -> None:
    executor.run("remembered = 1")
    job = executor.run("%history -l 2\nprint(get_ipython().history_manager.hist_file)")
    assert job.stdout.endswith(":memory:\n")
    assert "remembered = 1" in job.stdout

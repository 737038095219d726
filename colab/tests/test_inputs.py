"""Code asks the user with `input()`, and the client answers."""

import uuid
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.core.errors import NotAsking
from smart_colab_executor.jobs.questions import MAX_PROMPT_CHARS, Questions

UNANSWERED = "StdinNotImplementedError"


def asked(executor: Executor, job_id: str) -> dict[str, Any]:
    """Wait until a job asks; return its question."""
    after = 0
    while True:
        page = executor.get(f"/jobs/{job_id}/events?after={after}&wait=25&linger=5")
        assert page["job"]["state"] in ("queued", "running"), page
        if (question := page["job"]["asking"]) is not None:
            return dict(question)
        after = page["next"]


def answer(executor: Executor, job_id: str, number: int, value: object) -> tuple[int, Any]:
    reply = executor.call("POST", f"/jobs/{job_id}/input", {"number": number, "value": value})
    return reply.status, reply.json.get("code")


def test_an_answer_counts_once_for_the_question_that_was_asked() -> None:
    questions = Questions()
    questions.ask(7, "x" * 9_000)
    assert questions.open is not None
    assert questions.describe() == {"number": 7, "prompt": "x" * MAX_PROMPT_CHARS}
    with pytest.raises(NotAsking):
        questions.take(6, "a")
    assert questions.take(7, "a")
    assert questions.describe() is None
    assert not questions.take(7, "a"), "a repeated request"
    with pytest.raises(NotAsking, match="another value"):
        questions.take(7, "b")
    questions.ask(8, "")
    with pytest.raises(NotAsking, match="another value"):
        questions.take(7, "b")
    questions.withdraw()
    with pytest.raises(NotAsking):
        questions.take(8, "a")


def test_input_returns_the_answer(executor: Executor, session: str) -> None:
    code = "print('before')\nname = input('Name? ')\nprint('Hello', name)\nage = int(input())\nage + 1"
    job_id = executor.submit(code, session=session, answers=True)
    first = asked(executor, job_id)
    assert first["prompt"] == "Name? "
    # The output before it is there, and a reader is not kept waiting.
    page = executor.get(f"/jobs/{job_id}/events?wait=25&linger=5")
    assert "".join(event.get("text", "") for event in page["events"]) == "before\nName? "
    [listed] = [job for job in executor.get(f"/jobs?session={session}")["jobs"] if job["id"] == job_id]
    assert (listed["state"], listed["asking"]) == ("running", first)
    number = first["number"]
    wrong_bodies: list[Any] = [
        {},
        {"number": number},
        {"number": "1", "value": "x"},
        {"number": number, "value": 7},
        [],
    ]
    for wrong in wrong_bodies:
        assert executor.call("POST", f"/jobs/{job_id}/input", wrong).status == 400
    assert answer(executor, job_id, number + 1, "Eve") == (409, "not_asking")
    assert answer(executor, str(uuid.uuid4()), number, "Eve") == (404, "not_found")
    assert answer(executor, job_id, number, "Ada 💡") == (200, None)
    second = asked(executor, job_id)
    assert second["number"] > number
    # A repeated request is no answer to the next question.
    assert answer(executor, job_id, number, "Ada 💡") == (200, None)
    assert answer(executor, job_id, number, "Eve") == (409, "not_asking")
    assert answer(executor, job_id, second["number"], "41") == (200, None)
    job = executor.follow(job_id)
    assert (job.state, job.stdout, job.job["asking"]) == ("succeeded", "before\nName? \nHello Ada 💡\n\n", None)
    assert job.of("execute_result")[0]["data"]["text/plain"] == "42"
    assert answer(executor, job_id, second["number"], "41") == (200, None)
    assert answer(executor, job_id, second["number"], "42") == (409, "not_asking")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("input('Name? ')", "the user declined"),
        ("try:\n    input()\nexcept RuntimeError as error:\n    print(error)\ninput()", "the user declined"),
    ],
)
def test_a_declined_question_raises_in_the_code(executor: Executor, session: str, code: str, said: str) -> None:
    job_id = executor.submit(code, session=session, answers=True)
    for _ in range(code.count("input(")):
        assert answer(executor, job_id, asked(executor, job_id)["number"], None)[0] == 200
    [error] = executor.follow(job_id).of("error")
    assert error["ename"] == UNANSWERED
    assert said in error["evalue"]


@pytest.mark.parametrize(
    ("code", "answers"),
    [
        ("input('Name? ')", False),
        ("import getpass\ngetpass.getpass()", True),
        ("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor().submit(input).result()", True),
    ],
)
def test_what_cannot_be_asked_raises_at_once(executor: Executor, session: str, code: str, answers: bool) -> None:
    job = executor.run(code, session=session, answers=answers)
    assert [error["ename"] for error in job.of("error")] == [UNANSWERED]


def test_an_interrupted_question_takes_no_answer(executor: Executor, session: str) -> None:
    code = """
import time
try:
    input('first')
except KeyboardInterrupt:
    print('stopped')
try:
    time.sleep(600)
except KeyboardInterrupt:
    print('got', input('second'))
"""
    job_id = executor.submit(code, session=session, answers=True)
    first = asked(executor, job_id)
    executor.post(f"/jobs/{job_id}/interrupt")
    executor.wait_for_output(job_id, "stopped")
    assert executor.get(f"/jobs/{job_id}")["job"]["asking"] is None
    assert answer(executor, job_id, first["number"], "late") == (409, "not_asking")
    executor.post(f"/jobs/{job_id}/interrupt")
    second = asked(executor, job_id)
    assert second["prompt"] == "second"
    assert answer(executor, job_id, first["number"], "late") == (409, "not_asking")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.job["asking"]) == ("interrupted", None)
    assert "got" not in job.stdout
    assert answer(executor, job_id, second["number"], "late") == (409, "not_asking")
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_the_time_limit_goes_on_while_a_question_waits(executor: Executor, session: str) -> None:
    job_id = executor.submit("input()", session=session, answers=True, timeout_sec=1)
    number = asked(executor, job_id)["number"]
    job = executor.follow(job_id)
    assert (job.state, job.job["variables_lost"], job.job["asking"]) == ("timed_out", False, None)
    assert answer(executor, job_id, number, "late") == (409, "not_asking")

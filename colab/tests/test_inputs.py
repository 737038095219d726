"""Code asks the user with `input()`, and the client answers."""

import re
import uuid
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.core.errors import NotAsking
from smart_colab_executor.jobs.questions import MAX_PROMPT_CHARS, Answer, Questions

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


def answer(executor: Executor, job_id: str, number: int, value: object, reason: object = None) -> tuple[int, Any]:
    body = {"number": number, "value": value, "reason": reason}
    reply = executor.call("POST", f"/jobs/{job_id}/input", body)
    return reply.status, reply.json.get("code")


def test_an_answer_counts_once_for_the_question_that_was_asked() -> None:
    questions = Questions()
    questions.ask(7, "x" * 9_000)
    assert questions.open is not None
    assert questions.describe() == {"number": 7, "prompt": "x" * MAX_PROMPT_CHARS}
    with pytest.raises(NotAsking):
        questions.take(Answer(6, "a"))
    assert questions.take(Answer(7, "a"))
    assert questions.describe() is None
    assert not questions.take(Answer(7, "a")), "a repeated request"
    with pytest.raises(NotAsking, match="another value"):
        questions.take(Answer(7, "b"))
    questions.ask(8, "")
    with pytest.raises(NotAsking, match="another value"):
        questions.take(Answer(7, "b"))
    questions.withdraw()
    with pytest.raises(NotAsking):
        questions.take(Answer(8, "a"))


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
        {"number": number, "value": "a\nb"},
        {"number": number, "value": "a\rb"},
        {"number": number, "value": "a\0"},
        {"number": number, "value": "\n\n"},
        [],
    ]
    for wrong in wrong_bodies:
        assert executor.call("POST", f"/jobs/{job_id}/input", wrong).status == 400
    assert answer(executor, job_id, number + 1, "Eve") == (409, "not_asking")
    assert answer(executor, str(uuid.uuid4()), number, "Eve") == (404, "not_found")
    assert answer(executor, job_id, number, "Ada 💡\r\n") == (200, None)
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


def test_a_question_without_an_answer_raises_what_happened(executor: Executor, session: str) -> None:
    code = """
for question in range(5):
    try:
        print(input('Name? '))
    except (EOFError, RuntimeError) as error:
        print(type(error).__name__, error)
input('asked', 'wrongly')
"""
    job_id = executor.submit(code, session=session, answers=True)
    for value, reason in (("Ada", None), (None, "declined"), (None, "end"), (None, "other")):
        assert answer(executor, job_id, asked(executor, job_id)["number"], value, reason)[0] == 200
    job = executor.follow(job_id)
    # The last one is not asked.
    assert re.fullmatch(
        f"""Name\\? \nAda
Name\\? \n{UNANSWERED} .*the user declined to answer
Name\\? \nEOFError EOF when reading a line
Name\\? \n{UNANSWERED} .*was not answered.*
{UNANSWERED} .*asks no more in this job.*
""",
        job.stdout,
    ), job.stdout
    [error] = job.of("error")
    assert (error["ename"], error["evalue"]) == ("TypeError", "input expected at most 1 argument, got 2")


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
    [error] = job.of("error")
    assert error["ename"] == UNANSWERED
    asker = "getpass" if "getpass" in code else "input()"
    assert error["evalue"].startswith(f"{asker} was called"), error


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
    assert job.stdout == "first\nstopped\nsecond\n"
    assert "KeyboardInterrupt" in (shown := str(job.of("error")[-1]["traceback"]))
    assert "threading.py" not in shown
    assert answer(executor, job_id, second["number"], "late") == (409, "not_asking")
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_the_time_limit_goes_on_while_a_question_waits(executor: Executor, session: str) -> None:
    job_id = executor.submit("input()", session=session, answers=True, timeout_sec=1)
    number = asked(executor, job_id)["number"]
    job = executor.follow(job_id)
    assert (job.state, job.job["variables_lost"], job.job["asking"]) == ("timed_out", False, None)
    assert answer(executor, job_id, number, "late") == (409, "not_asking")

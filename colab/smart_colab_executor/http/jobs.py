"""The routes of `/jobs`, and `/execute`. See API.md."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from ..core import errors
from ..core.arguments import integer, number, session_name, text, uuid_text
from ..files import ranges
from ..in_kernel.jsonline import dump
from ..jobs.job import MAX_HOLD_SEC, Job
from ..jobs.questions import Answer
from ..jobs.request import JobRequest
from ..jobs.store import parse_id
from . import execute
from .context import Config
from .middleware import request_id, sender
from .replies import json_body, json_reply, stream_reply
from .slots import RETRY_AFTER_SEC, Seats, Slots

MAX_LINGER_SEC = 5
# Requests that may wait for a job; below the number of connections.
MAX_WAITS = 240
MAX_EXECUTES = 32
EXECUTE_WAIT_SEC = 600.0


def add_job_routes(app: Flask, config: Config, slots: Slots) -> None:
    """Serve jobs; `slots` are shared with the downloads of files."""
    jobs, sessions = config.jobs, config.sessions
    waits, executes = Seats(MAX_WAITS), Seats(MAX_EXECUTES)

    def page(job: Job, after: int, wait: float, linger: float, max_bytes: int, status: int) -> Response:
        with waits.take() as may_wait:
            if wait and not may_wait:
                if request.method == "GET":
                    raise errors.Busy(
                        f"{MAX_WAITS} requests are already waiting for jobs, which is the limit.",
                        "Ask again in a moment, or without 'wait'; the job keeps running.",
                        retry_after_sec=RETRY_AFTER_SEC,
                    )
                wait = 0  # the job was accepted
            return _page(job, after, wait, linger, max_bytes, status)

    def submit(job_id: str, asked: JobRequest, expected_boot_id: str | None = None) -> tuple[Job, bool]:
        if config.stop.is_set():
            raise errors.Busy("The executor is stopping.", "Try again after it has restarted.")
        # What was accepted once is not judged again.
        note = None
        if not (config.guard.is_off or jobs.knows(job_id)):
            note = config.guard.check(asked.sources(), asked.session, id=job_id, address=str(sender()))
        job, is_new = jobs.add(job_id, asked, address=str(sender()), expected_boot_id=expected_boot_id)
        if is_new:
            job.note = note
            sessions.submit(job)
        return job, is_new

    def serve(path: Path, content_type: str) -> Response:
        wanted = request.headers.get("Range"), request.headers.get("If-Range")
        return stream_reply(ranges.serve(path, None, content_type, *wanted), slots)

    @app.put("/jobs/<job_id>")
    def put_job(job_id: str) -> Response:
        job_id = parse_id(job_id)
        wait, linger, max_bytes = _page_arguments()
        expected = request.headers.get("X-Expect-Boot-Id")
        boot_id = None if expected is None else uuid_text(expected, "X-Expect-Boot-Id")
        job, is_new = submit(job_id, JobRequest.parse(json_body()), boot_id)
        return page(job, 0, wait, linger, max_bytes, 201 if is_new else 200)

    @app.post("/consents")
    def consent() -> Response:
        statement = json_body().get("statement")
        if not isinstance(statement, str):
            raise errors.InvalidArgument("'statement' must be a string.", "Send the detail of a consent_needed.")
        config.guard.agree(statement)
        return json_reply({})

    @app.get("/jobs/<job_id>/events")
    def events(job_id: str) -> Response:
        after = integer(request.args, "after", 0, 0, 2**53)
        return page(jobs.get(job_id), after, *_page_arguments(), 200)

    @app.get("/jobs")
    def list_jobs() -> Response:
        session = request.args.get("session")
        found = jobs.newest(
            request.args.get("state") or None,
            session_name(session) if session else None,
            integer(request.args, "limit", 100, 1, 1000),
        )
        return json_reply({"jobs": [job.describe() for job in found]})

    @app.get("/jobs/<job_id>")
    def get_job(job_id: str) -> Response:
        return json_reply({"job": jobs.get(job_id).describe()})

    @app.get("/jobs/<job_id>/code")
    def code(job_id: str) -> Response:
        return Response(jobs.get(job_id).request.code.encode(), content_type="text/plain; charset=utf-8")

    @app.get("/jobs/<job_id>/setup")
    def setup(job_id: str) -> Response:
        loop = jobs.get(job_id).request.loop or {}
        return Response(
            (loop.get("setup") or loop.get("worker_setup") or "").encode(), content_type="text/plain; charset=utf-8"
        )

    @app.post("/jobs/<job_id>/interrupt")
    def interrupt(job_id: str) -> Response:
        job = jobs.get(job_id)
        if job.is_new_request(request_id()):
            sessions.interrupt(job)
        return json_reply({"job": job.describe()})

    @app.post("/jobs/<job_id>/input")
    def answer(job_id: str) -> Response:
        job = jobs.get(job_id)
        sessions.answer(job, _answer(json_body()))
        return json_reply({"job": job.describe()})

    @app.get("/jobs/<job_id>/log")
    def job_log(job_id: str) -> Response:
        job = jobs.get(job_id)
        with _printed(job):
            return serve(job.spool.log_file(), "text/plain; charset=utf-8")

    @app.get("/jobs/<job_id>/blobs/<number>")
    def blob(job_id: str, number: str) -> Response:
        found = jobs.get(job_id).spool.blob(int(number)) if re.fullmatch(r"[0-9]{1,9}", number) else None
        if found is None:
            raise errors.NotFound(f"The job has no blob {number[:20]}.", "Its events list the blobs.")
        path, content_type = found
        return serve(path, f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type)

    @app.post("/execute")
    def run() -> Response:
        body = json_body()
        body["timeout_sec"] = body.get("timeout", 120)
        asked = JobRequest.parse({**body, "loop": None, "answers": False})
        with executes.take() as may_wait:
            if not may_wait:
                raise errors.Busy(
                    f"{MAX_EXECUTES} /execute requests are already waiting, which is the limit; nothing was run.",
                    "Wait for one to finish, or use PUT /jobs.",
                    retry_after_sec=RETRY_AFTER_SEC,
                )
            job, _ = submit(str(uuid.uuid4()), asked)
            job.wait(EXECUTE_WAIT_SEC)
        with _printed(job):
            return json_reply(execute.summary(job))


def _answer(body: dict[str, Any]) -> Answer:
    number, value, reason = body.get("number"), body.get("value", 0), body.get("reason")
    if isinstance(number, bool) or not isinstance(number, int):
        raise errors.InvalidArgument("'number' must be a whole number.", "Send the number of the job's 'asking'.")
    if value is not None and not isinstance(value, str):
        raise errors.InvalidArgument("'value' must be a string or null.", "Send null if there is no answer.")
    if value is None:
        return Answer(number, None, reason if isinstance(reason, str) else None)
    line = text(value, "value", "Send valid Unicode.")
    line = line.removesuffix("\n").removesuffix("\r")
    if any(end in line for end in "\n\r\0"):
        raise errors.InvalidArgument("'value' must be one line, without NUL.", "Send one line.")
    return Answer(number, line)


def _page_arguments() -> tuple[float, float, int]:
    given = request.args
    return (
        number(given, "wait", 0, 0, MAX_HOLD_SEC),
        number(given, "linger", 0.05, 0, MAX_LINGER_SEC),
        integer(given, "max_bytes", 256 * 1024, 1024, 4 * 1024 * 1024),
    )


@contextmanager
def _printed(job: Job) -> Iterator[None]:
    """Raise NotFound or Busy when files of a job's output are missing."""
    try:
        yield
    except FileNotFoundError as error:
        if job.is_final:
            raise errors.NotFound(
                f"The output of job {job.id} is gone: its files were removed from the executor's state folder.",
                "Run the code again if its output is needed.",
            ) from error
        raise errors.Busy(
            f"The files of job {job.id} were removed from the state folder, and are being restored.",
            "Ask again in a moment; the job keeps running.",
            retry_after_sec=1,
        ) from error


def _page(job: Job, after: int, wait: float, linger: float, max_bytes: int, status: int) -> Response:
    with _printed(job):
        page = job.page(after, wait, linger, max_bytes)
    # The events are JSON already.
    body = b'{"job":%b,"events":[%b],"next":%d,"more":%b}' % (
        dump(page.job),
        b",".join(page.events),
        page.next,
        b"true" if page.more else b"false",
    )
    return Response(body, status, mimetype="application/json")

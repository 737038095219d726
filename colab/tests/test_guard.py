"""Admission and the audit log, on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from harness import PACKAGE_PARENT, TOKEN, Executor, stranger, wait_until

from smart_colab_executor.wire import API_VERSION

Start = Callable[..., Executor]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 by itself")


def audit(executor: Executor, event: str) -> list[dict[str, Any]]:
    lines = (executor.root / ".smart_colab" / "audit.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


class TestFailures:
    @linux
    def test_a_thousand_guesses_are_throttled_and_other_requests_unaffected(self, start: Start) -> None:
        executor = start()
        began = time.monotonic()
        answers = []
        for number in range(1000):
            answers.append(executor.call("GET", "/jobs", token=f"guess-{number}", source="127.0.0.2"))
            if number % 20 == 0:
                assert executor.call("GET", "/jobs", source="127.0.0.1").status == 200
                assert executor.call("GET", "/jobs", source="127.0.0.2").status == 200
        compared = [answer.status for answer in answers].count(401)
        assert 10 <= compared <= 10 + (time.monotonic() - began) / 2 + 1
        assert {answer.status for answer in answers} == {401, 429}
        last = next(answer for answer in reversed(answers) if answer.status == 429)
        assert (last.status, last.json["code"], last.json["retryable"]) == (429, "unauthorized", True)
        assert last.headers["Retry-After"] == str(last.json["retry_after_sec"])
        assert last.json["retry_after_sec"] in (1, 2)
        assert executor.call("GET", "/health", source="127.0.0.2").status == 200
        # They do not fill the disk.
        noted = len(audit(executor, "refused"))
        assert 100 <= noted <= 100 + (time.monotonic() - began) + 1
        assert len(executor.log.read_text().splitlines()) < noted + 200

    def test_clients_behind_a_tunnel_are_counted_separately(self, executor: Executor) -> None:
        guesser, other = stranger(), stranger()
        for _ in range(11):
            reply = executor.call("GET", "/jobs", token="wrong", CF_Connecting_IP=guesser)
        assert reply.status == 429
        assert executor.call("GET", "/jobs", CF_Connecting_IP=guesser).status == 200
        assert executor.call("GET", "/jobs", token="wrong", CF_Connecting_IP=other).status == 401
        assert executor.call("GET", "/jobs").status == 200


class TestAddresses:
    @linux
    def test_only_listed_addresses_are_served(self, start: Start) -> None:
        """Use a tunnel: connections from 127.0.0.0/8 are local and always served."""
        executor = start("--allow-ips", "192.0.2.0/24, 2001:db8::/32", "--behind", "ngrok")
        for named, status in [
            ("192.0.2.9", 200),
            ("198.51.100.1, 192.0.2.9", 200),
            ("2001:db8::5", 200),
            ("198.51.100.1", 403),
            ("192.0.2.9, 198.51.100.1", 403),
            ("nonsense", 403),
            ("", 403),
        ]:
            for path in ("/jobs", "/health"):
                assert executor.call("GET", path, X_Forwarded_For=named).status == status, (path, named)
        reply = executor.call("GET", "/no/such/route", token=None, X_Forwarded_For="198.51.100.1")
        assert (reply.status, reply.json["code"]) == (403, "address_not_allowed")
        assert "198.51.100.1" in reply.json["detail"]
        assert "--allow-ips" in reply.json["hint"]
        assert executor.call("GET", "/jobs").status == 200
        assert executor.call("GET", "/jobs", CF_Connecting_IP="198.51.100.1").status == 200

    def test_the_list_can_come_from_the_environment(self, start: Start) -> None:
        executor = start("--behind", "cloudflare", env={"ALLOWED_IPS": "192.0.2.1"})
        assert executor.call("GET", "/jobs", CF_Connecting_IP="192.0.2.1").status == 200
        assert executor.call("GET", "/jobs", CF_Connecting_IP="192.0.2.2").status == 403

    @pytest.mark.parametrize("arguments", [["--allow-ips", "1.2.3.4 nonsense"], ["--behind", "nonsense"]])
    def test_invalid_lists_are_refused_at_startup(self, arguments: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "smart_colab_executor", "--port", "0", *arguments],
            env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "nonsense" in done.stderr

    def test_an_allow_list_that_a_tunnel_bypasses_gives_a_warning(self, start: Start) -> None:
        assert "--behind" in start("--allow-ips", "192.0.2.1").log.read_text()

    def test_an_allow_list_behind_a_named_tunnel_gives_no_warning(self, start: Start) -> None:
        assert "--behind" not in start("--allow-ips", "192.0.2.1", "--behind", "ngrok").log.read_text()


class TestVersion:
    @pytest.mark.parametrize(
        ("given", "hint"),
        [
            (str(API_VERSION + 1), "executor (0."),
            ("999999999", "executor (0."),
            (str(API_VERSION - 1), "update smart-colab"),
            ("x", f"Send {API_VERSION}"),
        ],
    )
    def test_another_version_is_refused_with_the_older_side_named(
        self, executor: Executor, given: str, hint: str
    ) -> None:
        reply = executor.call("GET", "/jobs", X_Smart_Colab_Api=given)
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (400, "incompatible_bridge", False)
        assert hint in reply.json["hint"]
        assert executor.call("GET", "/health", X_Smart_Colab_Api=given).headers["X-Smart-Colab-Api"] == str(API_VERSION)

    @pytest.mark.parametrize("given", ["", "-1", "1.0", "1, 1", "1" * 5000, "²"])
    def test_a_version_that_is_not_a_number_is_refused(self, executor: Executor, given: str) -> None:
        reply = executor.call("GET", "/jobs", X_Smart_Colab_Api=given)
        assert (reply.status, reply.json["code"]) == (400, "incompatible_bridge")

    def test_the_same_version_or_no_version_is_served(self, executor: Executor) -> None:
        assert executor.call("GET", "/jobs", X_Smart_Colab_Api=str(API_VERSION)).status == 200
        assert executor.call("GET", "/jobs").status == 200

    def test_the_version_is_not_checked_without_the_token(self, executor: Executor) -> None:
        assert executor.call("GET", "/jobs", token=None, X_Smart_Colab_Api=str(API_VERSION + 1)).status == 401


class TestBoot:
    BODY: Any = {"code": "print('ran')"}  # noqa: RUF012

    def put(self, executor: Executor, job_id: str, boot_id: str, body: Any = BODY) -> tuple[int, str | None]:
        reply = executor.call("PUT", f"/jobs/{job_id}", body, X_Expect_Boot_Id=boot_id)
        return reply.status, reply.json.get("code")

    def test_a_job_meant_for_this_executor_runs(self, executor: Executor) -> None:
        job_id = str(uuid.uuid4())
        assert self.put(executor, job_id, executor.ready["boot_id"].upper())[0] == 201
        assert executor.follow(job_id).stdout == "ran\n"

    def test_an_unknown_job_meant_for_another_executor_does_not_run(self, executor: Executor) -> None:
        job_id = str(uuid.uuid4())
        reply = executor.call("PUT", f"/jobs/{job_id}", self.BODY, X_Expect_Boot_Id=str(uuid.uuid4()))
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (412, "boot_changed", False)
        assert executor.call("GET", f"/jobs/{job_id}").status == 404
        assert self.put(executor, job_id, executor.ready["boot_id"])[0] == 201

    def test_a_known_job_is_answered_as_usual(self, start: Start) -> None:
        first = start()
        job_id = first.run("print('ran')").job["id"]
        first.post("/shutdown")
        first.process.wait(40)
        second = start()
        boot_id = first.ready["boot_id"]
        assert second.ready["boot_id"] != boot_id
        assert self.put(second, job_id, boot_id) == (200, None)
        assert self.put(second, job_id, boot_id, {"code": "other"}) == (409, "job_conflict")
        # A job that is not in this folder was never accepted by an earlier start on it.
        assert self.put(second, str(uuid.uuid4()), boot_id) == (201, None)
        assert self.put(second, str(uuid.uuid4()), str(uuid.UUID(int=0))) == (412, "boot_changed")
        (second.root / ".smart_colab" / "jobs" / job_id / "job.json").write_bytes(b"torn")
        second.post("/shutdown")
        second.process.wait(40)
        assert self.put(start(), job_id, boot_id) == (409, "job_conflict")

    @pytest.mark.parametrize("given", ["", "nonsense", "0" * 32, "x" * 5000])
    def test_a_malformed_boot_id_is_refused(self, executor: Executor, given: str) -> None:
        assert self.put(executor, str(uuid.uuid4()), given) == (400, "invalid_argument")


class TestAudit:
    def test_the_audit_records_ended_jobs_and_refused_requests(self, start: Start) -> None:
        executor = start("--behind", "cloudflare", "--allow-ips", "192.0.2.0/24")
        job_id = str(uuid.uuid4())
        code = "secret_code = 1\nprint('secret' + '_output')"
        executor.call("PUT", f"/jobs/{job_id}", {"code": code, "session": "other"}, CF_Connecting_IP="192.0.2.7")
        job = executor.follow(job_id)
        own = executor.run("1 / 0").job
        executor.call("GET", "/jobs?secret_query", token="secret_token", CF_Connecting_IP="192.0.2.8")
        executor.call("GET", "/a%0ab", CF_Connecting_IP="198.51.100.1")
        executor.call("GET", "/" + "x" * 1000, token=None)
        executor.call("GET", "/files/read?path=../x")
        wait_until(lambda: len(audit(executor, "job")) == 2)  # just after the job's own end
        one, two = audit(executor, "job")
        assert one.pop("at") >= job.job["finished_at"]
        assert one == {
            "event": "job",
            "id": job_id,
            "session": "other",
            "address": "192.0.2.7",
            "state": "succeeded",
            "reason": None,
            "execution_time_sec": job.job["execution_time_sec"],
        }
        assert (two["id"], two["address"], two["state"], two["reason"]) == (
            own["id"],
            "127.0.0.1",
            "failed",
            "python_error",
        )
        refused = audit(executor, "refused")
        assert [(entry["address"], entry["status"], entry["code"], entry["path"]) for entry in refused] == [
            ("192.0.2.8", 401, "unauthorized", "/jobs"),
            ("198.51.100.1", 403, "address_not_allowed", "/a\nb"),
            ("127.0.0.1", 401, "unauthorized", "/" + "x" * 199),
        ]
        text = (executor.root / ".smart_colab" / "audit.jsonl").read_text()
        assert "secret" not in text
        assert TOKEN not in text
        assert "address" not in executor.get(f"/jobs/{job_id}")["job"]

    def test_a_leftover_job_is_recorded_by_the_next_executor(self, start: Start) -> None:
        first = start()
        job_id = first.submit("import time\nprint('asleep', flush=True)\ntime.sleep(600)")
        first.wait_for_output(job_id, "asleep")
        first.process.kill()
        first.process.wait()
        second = start()
        (entry,) = audit(second, "job")
        assert (entry["id"], entry["state"], entry["reason"]) == (job_id, "lost", "executor_restarted")
        assert entry["address"] == "127.0.0.1"

    def test_an_unrecorded_end_is_recorded_by_the_next_executor(self, start: Start) -> None:
        first = start()
        job_id = first.run("1").job["id"]
        first.process.kill()
        first.process.wait()
        state = first.root / ".smart_colab"
        (state / "audit.jsonl").unlink(missing_ok=True)
        record = state / "jobs" / job_id / "job.json"
        accepted = record.read_bytes().splitlines()[0]
        record.write_bytes(accepted)
        (entry,) = audit(start(), "job")
        assert (entry["id"], entry["state"]) == (job_id, "succeeded")

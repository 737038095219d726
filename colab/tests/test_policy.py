"""The policy: what it decides about code before it runs, and what of that is recorded and shown."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.core.errors import ConsentNeeded, ForbiddenByPolicy, NotFound
from smart_colab_executor.guard.audit import Audit
from smart_colab_executor.guard.places import Places
from smart_colab_executor.guard.policy import Guard, parse_policy

REMOVES = "import os\nos.remove('/smart-colab/none')"
REACHES = "import requests\nrequests.get('https://example.org')"


def guard(policy: str, state: Path) -> Guard:
    return Guard(parse_policy(policy), Places(Path("/content"), Path("/root")), Audit(state))


def decisions(state: Path) -> list[dict[str, Any]]:
    entries = map(json.loads, (state / "audit.jsonl").read_text().splitlines())
    return [entry for entry in entries if entry["event"] == "policy"]


def test_a_policy_is_one_level_or_one_for_each_kind() -> None:
    assert set(parse_policy("").values()) == {"off"}
    assert parse_policy("Warn, network = deny")["network"] == "deny"
    assert parse_policy("shell=confirm")["delete"] == "off"
    for wrong in ("strict", "disk=deny", "shell=maybe"):
        with pytest.raises(ValueError, match="warn,network=deny"):
            parse_policy(wrong)


def test_a_session_is_warned_once_of_the_same_and_never_of_the_ordinary(tmp_path: Path) -> None:
    warns = guard("warn", tmp_path)
    assert warns.check([REACHES, "!pip install x"], "main") is None
    assert warns.check([REMOVES], "main", id="1") == "[policy: line 2: deletes /smart-colab/none (delete)]\n"
    assert warns.check([REMOVES], "main") is None
    assert warns.check([REMOVES], "other") is not None
    first, second = decisions(tmp_path)
    assert (first["decision"], first["id"], first["found"], second["session"]) == ("warned", "1", ["delete:2"], "other")
    assert "none" not in (tmp_path / "audit.jsonl").read_text()


def test_a_consent_is_valid_once_for_the_code_that_it_was_asked_about(tmp_path: Path) -> None:
    asks = guard("confirm", tmp_path)
    with pytest.raises(ConsentNeeded) as asked:
        asks.check([REMOVES], "main")
    statement = asked.value.detail
    asks.agree(statement)
    with pytest.raises(ConsentNeeded):  # the same is found, but the code is another
        asks.check([REMOVES + "\nprint(1)"], "main")
    assert asks.check([REMOVES], "main") is None
    with pytest.raises(NotFound):
        asks.agree(statement)
    assert [entry["decision"] for entry in decisions(tmp_path)] == ["asked", "asked", "agreed"]


def test_each_of_several_questions_at_once_has_its_own_yes(tmp_path: Path) -> None:
    asks = guard("confirm", tmp_path)
    codes = [REMOVES, REMOVES + "\nprint(1)", REMOVES]
    statements = []
    for code in codes:
        with pytest.raises(ConsentNeeded) as asked:
            asks.check([code], "main")
        statements.append(asked.value.detail)
    assert statements[0] == statements[2] != statements[1]
    for statement in statements:
        asks.agree(statement)
    assert [asks.check([code], "main") for code in codes] == [None] * 3
    for code in codes:
        with pytest.raises(ConsentNeeded):
            asks.check([code], "main")


def test_what_is_denied_names_line_and_remedy_even_if_it_is_ordinary(tmp_path: Path) -> None:
    denies = guard("confirm,network=deny", tmp_path)
    with pytest.raises(ForbiddenByPolicy) as denied:
        denies.check(["x = 1", REACHES], "main")
    assert "line 2: requests.get (network)" in denied.value.detail
    assert "SMART_COLAB_POLICY" in denied.value.hint
    assert [entry["decision"] for entry in decisions(tmp_path)] == ["denied"]


def test_code_and_setup_pass_one_door_before_anything_runs(start: Callable[..., Executor]) -> None:
    executor = start("--policy", "warn,network=deny,shell=confirm")
    loop = {"start": 0, "stop": 1, "total": 1}
    for body in (
        {"code": REACHES},
        {"code": "1", "loop": loop | {"setup": REACHES}},
        {"code": "1", "loop": loop | {"cluster": "local", "worker_setup": REACHES}},
    ):
        job = str(uuid.uuid4())
        refused = executor.call("PUT", f"/jobs/{job}", {"timeout_sec": 60, **body})
        assert (refused.status, refused.json["code"]) == (403, "forbidden_by_policy")
        assert executor.call("GET", f"/jobs/{job}").status == 404
    assert executor.call("POST", "/execute", {"code": REACHES}).json["code"] == "forbidden_by_policy"

    asked = executor.call("PUT", f"/jobs/{uuid.uuid4()}", {"code": "!crontab -l"}).json
    assert asked["code"] == "consent_needed"
    assert executor.call("POST", "/consents", {"statement": asked["detail"]}).status == 200
    job, body = str(uuid.uuid4()), {"code": "!crontab -l"}
    assert [executor.call("PUT", f"/jobs/{job}", body).status for _ in range(2)] == [201, 200]

    warned = executor.run(
        "print('ran')\nimport contextlib, os\nwith contextlib.suppress(OSError): os.remove('/no/such')"
    )
    assert warned.stdout == "ran\n"
    assert warned.streams["stderr"] == "[policy: line 3: deletes /no/such (delete)]\n"

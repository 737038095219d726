"""A cell that leaves `sys.stdout` or `sys.stderr` broken still ends, and the next one prints."""

from __future__ import annotations

import pytest
from harness import Executor

SESSION = "broken-streams"
NO_FLUSH = "import sys\nclass Tee:\n    def write(self, text):\n        return len(text)\n"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import sys\nwith open('log.txt', 'w') as sys.stdout:\n    print('x')", "stdout"),
        ("import sys\nsys.stdout = open('log.txt', 'w')\nprint('x')\nsys.stdout.close()", "stdout"),
        ("import sys\nsys.stderr = open('log.txt', 'w')\nsys.stderr.close()", "stderr"),
        (f"{NO_FLUSH}sys.stdout = Tee()", "stdout"),
        (f"{NO_FLUSH}sys.stderr = Tee()", "stderr"),
        ("import sys\nsys.stdout = None", "stdout"),
    ],
    ids=["closed by with", "closed", "stderr closed", "no flush", "stderr without flush", "none"],
)
def test_a_stream_that_cannot_be_flushed_is_restored(executor: Executor, code: str, name: str) -> None:
    job = executor.run(code, session=SESSION)
    assert job.state == "succeeded", job.events
    assert f"[sys.{name} has been restored" in job.streams["stderr"]
    after = executor.run("import sys\nprint('out')\nprint('err', file=sys.stderr)", session=SESSION)
    assert after.streams == {"stdout": "out\n", "stderr": "err\n"}


def test_a_loop_that_closes_its_stream_ends(executor: Executor) -> None:
    body = "import sys\nwith open('log.txt', 'w') as sys.stdout:\n    print('x')\ni"
    job = executor.run(body, session=SESSION, loop={"stop": 2})
    assert job.state == "succeeded", job.events
    assert executor.run("print('next')", session=SESSION).stdout == "next\n"


def test_a_failure_under_a_closed_stream_is_shown(executor: Executor) -> None:
    job = executor.run("import sys\nsys.stdout = open('log.txt', 'w')\nsys.stdout.close()\n1 / 0", session=SESSION)
    assert [error["ename"] for error in job.of("error")] == ["ZeroDivisionError"]
    assert executor.run("print('next')", session=SESSION).stdout == "next\n"


def test_a_working_stream_is_kept(executor: Executor) -> None:
    code = "import io, sys\nmine = sys.stdout = io.StringIO()\nprint('kept')"
    assert executor.run(code, session=SESSION).state == "succeeded"
    back = "value = mine.getvalue()\nsys.stdout = sys.__stdout__\nprint(value)"
    assert executor.run(back, session=SESSION).stdout == "kept\n\n"

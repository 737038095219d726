"""A cleanup gives memory back: also what was shown or raised, and also of some variables alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from harness import Executor, wait_until

# Far beyond what an idle kernel gains or loses by itself.
HELD_BYTES = 200_000_000
NEARLY_ALL_MB = 180


@pytest.fixture
def session(executor: Executor) -> Iterator[str]:
    """A session of the test's own, whose kernel has run."""
    name = f"clean-{uuid.uuid4().hex[:8]}"
    executor.run("import numpy", session=name)
    yield name
    executor.call("DELETE", f"/sessions/{name}")


@pytest.mark.parametrize(
    "code",
    [
        f"numpy.ones({HELD_BYTES // 8})",
        f"held = numpy.ones({HELD_BYTES // 8}); held",
        f"a = numpy.ones({HELD_BYTES // 8}); b = a; a[1:]",
        f"class Big:\n    held = None\nbig = Big(); big.held = bytearray({HELD_BYTES}); big",
        f"'x' * {HELD_BYTES}",
        f"def work():\n    held = numpy.ones({HELD_BYTES // 8})\n    1 / 0\nwork()",
        f"held = numpy.ones({HELD_BYTES // 8}); held\n%config ZMQDisplayHook.cache_size = 0",
    ],
)
def test_a_cleanup_frees_what_was_shown_and_raised(executor: Executor, session: str, code: str) -> None:
    before = executor.session(session)["memory_mb"]
    executor.run(code, session=session)
    assert executor.session(session)["memory_mb"] > before + NEARLY_ALL_MB
    freed = executor.post("/cleanup", {"session": session})["freed_mb"]
    assert freed > NEARLY_ALL_MB
    # What is long may still be on its way to us.
    wait_until(lambda: executor.session(session)["memory_mb"] < before + HELD_BYTES / 1e6 - NEARLY_ALL_MB)
    assert executor.run("print(len(Out), repr(_), repr(__))", session=session).stdout == "0 '' ''\n"


def test_named_variables_are_freed_with_what_was_shown_of_them_alone(executor: Executor, session: str) -> None:
    for code in (f"a = numpy.ones({HELD_BYTES // 8})", "b = [1]", "a", "b", "def work(): pass", "_private = 1"):
        executor.run(code, session=session)
    done = executor.post("/cleanup", {"session": session, "variables": ["a", "work", "_private", "a"]})
    assert done["cleared_variables"] == ["_private", "a", "work"]
    assert done["freed_mb"] > NEARLY_ALL_MB
    look = (
        "print(b, _ is b, repr(__), list(Out.values()), [name for name in ('a', 'work', '_private') if name in dir()])"
    )
    assert executor.run(look, session=session).stdout == "[1] True '' [[1]] []\n"
    assert [one["name"] for one in executor.get(f"/variables?session={session}")["variables"]] == ["b"]


@pytest.mark.parametrize("unknown", ["nobody", "_", "__", "Out", "In", "exit", "get_ipython", "__name__", "_ih", "a.b"])
def test_an_unknown_name_is_refused_and_nothing_is_cleared(executor: Executor, session: str, unknown: str) -> None:
    executor.run("a, b = 1, 2", session=session)
    body = {"session": session, "variables": ["a", unknown]}
    reply = executor.call("POST", "/cleanup", body)
    assert (reply.status, reply.json["code"], reply.json["retryable"]) == (404, "not_found", False)
    assert reply.json["detail"] == f"Session {session} has no variable {unknown}; nothing was cleared."
    assert reply.json["hint"] == "It has: a, b."
    assert executor.run("print(a, b)", session=session).stdout == "1 2\n"


@pytest.mark.parametrize("variables", [[], "a", [1], {"a": 1}, [["a"]], True])
def test_malformed_names_are_refused_and_nothing_is_cleared(
    executor: Executor, session: str, variables: object
) -> None:
    executor.run("a = 1", session=session)
    reply = executor.call("POST", "/cleanup", {"session": session, "variables": variables})
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")
    assert executor.run("print(a)", session=session).stdout == "1\n"


def test_without_a_kernel_there_is_nothing_to_free(executor: Executor, session: str) -> None:
    executor.run("a = 1", session=session)
    executor.run("exit()", session=session)
    body = {"session": session}
    assert executor.post("/cleanup", body)["freed_mb"] == 0.0
    reply = executor.call("POST", "/cleanup", {**body, "variables": ["a"]})
    assert (reply.status, reply.json["hint"]) == (404, "It has no variables.")


def test_a_name_under_which_the_code_keeps_a_value_stays(executor: Executor, session: str) -> None:
    executor.run("5", session=session)
    executor.run("_ = 7", session=session)
    executor.post("/cleanup", {"session": session})
    assert executor.run("print(_)", session=session).stdout == "7\n"
    assert executor.run("%xdel _", session=session).state == "succeeded"

"""A cleanup gives memory back: also what was shown or raised, and also of some variables alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from harness import Executor, wait_until

# Far beyond what an idle kernel gains or loses by itself.
HELD_BYTES = 60_000_000
NEARLY_ALL_MB = 50


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


BATCHES = f"batches = {{'train': numpy.ones(({HELD_BYTES // 80}, 10)), 'test': [1]}}"


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (BATCHES, "batches['train']"),
        (BATCHES, "batches['train'][:5]"),
        (BATCHES, "batches['train'][:5].T, 5"),
        (BATCHES, "list(batches['train'][:5])"),
        (f"batches = [bytes({HELD_BYTES // 10}) for _ in range(10)]", "batches[:9]"),
        (
            f"class Model: pass\nbatches = Model(); batches.weights = {{'a': bytearray({HELD_BYTES})}}",
            "batches.weights",
        ),
        (f"batches = (lambda held: lambda: held)(numpy.ones({HELD_BYTES // 8}))", "batches()[1:]"),
    ],
)
def test_what_was_shown_of_a_part_goes_with_its_variable(
    executor: Executor, session: str, made: str, shown: str
) -> None:
    for code in ("'before'", made, shown, "kept = [1.5]", "kept[0]"):
        executor.run(code, session=session)
    done = executor.post("/cleanup", {"session": session, "variables": ["batches"]})
    assert (done["freed_mb"] > NEARLY_ALL_MB, done["held_by"]) == (True, []), done
    assert executor.run("print(list(Out.values()))", session=session).stdout == "['before', 1.5]\n"


def test_a_result_with_the_storage_of_a_deleted_tensor_goes_with_it(executor: Executor, session: str) -> None:
    code = """
class Storage:
    def __init__(self, at): self.at = at
    def data_ptr(self): return self.at
    def nbytes(self): return 10**8
def untyped_storage(tensor): return Storage(places[id(tensor)])
Tensor = type("Tensor", (), {"__module__": "torch", "untyped_storage": untyped_storage})
batches, view, other = {"train": Tensor()}, Tensor(), Tensor()
places = {id(batches["train"]): 8, id(view): 8, id(other): 16}
"""
    for cell in (code, "view", "other", "del view, other"):
        executor.run(cell, session=session)
    done = executor.post("/cleanup", {"session": session, "variables": ["batches"]})
    assert done["held_by"] == []
    assert executor.run("print([places[id(one)] for one in Out.values()])", session=session).stdout == "[16]\n"


def test_a_result_that_another_variable_holds_stays_and_the_variable_is_named(executor: Executor, session: str) -> None:
    for code in (BATCHES, "head = [batches['train'][:5]]", "batches['train']", "own = numpy.zeros(9); own.sum()"):
        executor.run(code, session=session)
    asked = {"session": session, "variables": ["batches"]}
    done = executor.post("/cleanup", asked)
    assert (done["freed_mb"] < NEARLY_ALL_MB, done["held_by"]) == (True, ["head"]), done
    assert executor.run("print(len(Out))", session=session).stdout == "2\n"
    done = executor.post("/cleanup", {**asked, "variables": ["head"]})
    assert (done["freed_mb"] > NEARLY_ALL_MB, done["held_by"]) == (True, []), done


def test_a_cleanup_runs_none_of_the_users_code(executor: Executor, session: str) -> None:
    code = """
def ran(*_): raise SystemExit("ran")
class Kind(type):
    __eq__ = __hash__ = __instancecheck__ = __subclasscheck__ = __getattribute__ = ran
class Trap(list, metaclass=Kind):
    __eq__ = __hash__ = __len__ = __iter__ = __sizeof__ = __getattribute__ = __getitem__ = ran
class Array(numpy.ndarray):
    base = nbytes = dtype = property(ran)
    __getitem__ = __iter__ = __len__ = view = ran
made = [Trap(), numpy.ones(9).view(Array), {"a": Trap()}]
kept = [Trap(), numpy.ones(9).view(Array)]
"""
    executor.run(code, session=session)
    executor.run("made[:2];", session=session)
    done = executor.post("/cleanup", {"session": session, "variables": ["made"]})
    assert (done["cleared_variables"], done["held_by"]) == (["made"], [])


def test_of_a_graph_too_large_to_be_searched_the_holder_is_named_too(executor: Executor, session: str) -> None:
    code = "graph = [[{'a': [i]} for i in range(1000)] for _ in range(1000)]\nkept = [graph, 1]"
    executor.run(code, session=session)
    done = executor.post("/cleanup", {"session": session, "variables": ["graph"]})
    assert done["held_by"] == ["kept"]


def test_an_unknown_name_is_refused_and_nothing_is_cleared(executor: Executor, session: str) -> None:
    executor.run("a, b = 1, 2", session=session)
    for unknown in ("nobody", "_", "__", "Out", "In", "exit", "get_ipython", "__name__", "_ih", "a.b"):
        body = {"session": session, "variables": ["a", unknown]}
        reply = executor.call("POST", "/cleanup", body)
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (404, "not_found", False)
        assert reply.json["detail"] == f"Session {session} has no variable {unknown}; nothing was cleared."
        assert reply.json["hint"] == "It has: a, b."
        assert executor.run("print(a, b)", session=session).stdout == "1 2\n"


def test_malformed_names_are_refused_and_nothing_is_cleared(executor: Executor, session: str) -> None:
    executor.run("a = 1", session=session)
    malformed: list[object] = [[], "a", [1], {"a": 1}, [["a"]], True]
    for variables in malformed:
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

"""What runs in a cluster's worker process, and what code relies on that is not there."""

from __future__ import annotations

import ast
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from unittest.mock import MagicMock

import pytest

from smart_colab_executor.in_kernel import cluster_work, on_cluster, worker_names, worker_side

Begin = Callable[..., str]


@pytest.fixture
def begin() -> Iterator[Begin]:
    keys: list[str] = []

    def begin_one(body: str, setup: str = "", *, skip_errors: bool = False) -> str:
        keys.append(uuid.uuid4().hex)
        worker_side.begin(keys[-1], setup, body, skip_errors=skip_errors)
        return keys[-1]

    yield begin_one
    for key in keys:
        worker_side.end(key)


def run(key: str, numbers: list[int], *, shows_setup: bool = False) -> dict[str, Any]:
    return worker_side.run(key, numbers, shows_setup=shows_setup)


def results(key: str, numbers: list[int]) -> list[Any]:
    return [one[1] for one in run(key, numbers)["done"]]


def test_an_iteration_brings_back_its_prints_and_its_value(begin: Begin) -> None:
    key = begin("import sys\nprint('at {i}')\nprint('odd', file=sys.stderr)\n{'x': {i}, 's': {1, i}}")
    [(output, result, marked, error, end)] = run(key, [3])["done"]
    assert output == [("stdout", "at 3\n"), ("stderr", "odd\n")]
    assert (result, marked, error, end) == ({"x": 3, "s": [1, 3]}, {"set as list": 1}, None, None)


@pytest.mark.parametrize("body", ["'x' * 10**7", "b'x' * 10**7", "[list(range(10**5))] * 100", "print('x' * 10**7)"])
def test_of_a_large_result_a_bounded_part_leaves_the_worker(begin: Begin, body: str) -> None:
    [(output, result, marked, error, _)] = run(begin(body), [0])["done"]
    assert error is None
    assert len(json.dumps(result)) < 80_000
    assert len(json.dumps(output)) <= worker_side.MAX_OUTPUT_CHARS + 200
    assert marked or "characters of this iteration are left out" in output[-1][1]


def test_the_setup_runs_once_and_not_as_the_main_module(begin: Begin) -> None:
    key = begin("made + i", "print('set up')\nmade = 10\nif __name__ == '__main__':\n    made = 0")
    first, second, third = run(key, [1]), run(key, [2], shows_setup=True), run(key, [3])
    assert [one["setup_output"] for one in (first, second, third)] == [[], [("stdout", "set up\n")], []]
    assert (first["done"][0][1], second["done"][0][1]) == (11, 12)


def test_no_iteration_sees_what_another_one_assigned(begin: Begin) -> None:
    key = begin("before = 'left' in globals()\nleft = i\nbefore")
    assert results(key, [0, 1, 2]) == [False, False, False]


def test_threads_of_a_worker_keep_their_prints_and_values_apart(begin: Begin) -> None:
    key = begin("mine = i\nwall.wait()\nprint(mine)\nmine", "import threading\nwall = threading.Barrier(2, timeout=20)")
    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(lambda number: run(key, [number])["done"][0], [5, 6]))
    assert [(one[0], one[1]) for one in came] == [([("stdout", "5\n")], 5), ([("stdout", "6\n")], 6)]


def test_a_body_may_continue_break_and_await(begin: Begin) -> None:
    key = begin("import asyncio\nif i == 0:\n    continue\nif i == 2:\n    break\nawait asyncio.sleep(0, 'slept')")
    done = run(key, [0, 1, 2, 3])["done"]
    assert [(one[1], one[-1]) for one in done] == [(None, None), ("slept", None), (None, "break")]


@pytest.mark.parametrize(("skips", "ends"), [(False, ["stop"]), (True, [None, None, "stop"])])
def test_an_error_shows_the_bodys_line_and_ends_the_batch_unless_skipped(
    begin: Begin, skips: bool, ends: list[str | None]
) -> None:
    key = begin("if i == 2:\n    raise SystemExit(1)\nx = 1\nx / (i * 0)", skip_errors=skips)
    done = run(key, [0, 1, 2, 3])["done"]
    assert [one[-1] for one in done] == ends
    error = done[0][3]
    assert error["ename"] == "ZeroDivisionError"
    assert error["traceback"][1].startswith('  File "<loop_code>", line 4, in <module>\n    x / (i * 0)')


def test_a_setup_that_fails_is_told_from_the_body(begin: Begin) -> None:
    came = run(begin("i", "good = 1\n1 / 0"), [0])
    assert (came["done"], came["setup_error"]["ename"]) == ([], "ZeroDivisionError")
    assert "line 2" in came["setup_error"]["traceback"][1]


def test_output_beyond_the_limit_is_counted_and_ends_the_batch(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_side, "MAX_OUTPUT_CHARS", 10)
    done = run(begin("print('x' * 11)"), [0, 1])["done"]
    assert len(done) == 1
    assert done[0][0] == [
        ("stdout", "x" * 10),
        ("stderr", "\n[2 more characters of this iteration are left out]\n"),
    ]


def test_a_batch_of_slow_iterations_returns_what_it_has(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_side, "MAX_BATCH_SEC", -1.0)
    assert results(begin("i"), [4, 5]) == []
    monkeypatch.undo()
    assert results(begin("i"), [4, 5]) == [4, 5]


def test_a_result_of_a_gigabyte_does_not_leave_its_worker(begin: Begin) -> None:
    [(_, result, marked, _, _)] = run(begin("range(10**9)"), [0])["done"]
    assert len(result) < 1100
    assert marked


def test_an_operation_that_has_ended_runs_no_further_iteration(begin: Begin) -> None:
    key = begin("end()\ni")
    worker_side._operations[key]._setup = "end = None"
    run(key, [])
    worker_side._operations[key]._namespace["end"] = lambda: worker_side.end(key)  # type: ignore[index]
    assert results(key, [0, 1, 2]) == [0]
    assert run(key, [3])["done"] == []


@pytest.mark.parametrize(
    ("error", "end", "reported", "uncounted"),
    [
        ({"ename": "ValueError", "evalue": "", "traceback": []}, "stop", [2, 3, 0], 1),
        (None, "break", [2, 3, 0, 1], 3),
    ],
)
def test_what_ran_and_does_not_count_is_counted(
    monkeypatch: pytest.MonkeyPatch, error: object, end: str, reported: list[int], uncounted: int
) -> None:
    monkeypatch.setattr(on_cluster, "WorkerPackage", MagicMock)
    seen: list[int] = []
    work = cluster_work.Work(
        "local", "", "", range(10), False, {}, lambda at, *_: seen.append(at), MagicMock(), MagicMock()
    )
    loop = on_cluster._Loop(work, MagicMock())
    batches = [cluster_work.Batch(n, [n]) for n in range(6)]
    loop._in_flight = {batch.number: batch for batch in batches}
    # It runs when the end is known; 5 has not begun.
    batches[4].starts = 1
    for position, came in [(2, (None, None)), (3, (None, None)), (0, (None, None)), (1, (error, end))]:
        loop._take(batches[position], {"done": [([], position, None, *came)], "seconds": 0.0})
    with suppress(cluster_work.WorkFailed):
        loop._end()
    loop._sum_up()
    assert (seen, work.uncounted) == (reported, uncounted)


SESSION = ["model", "total", "found", "kept"]


@pytest.mark.parametrize(
    ("body", "setup", "expected"),
    [
        ("model(i)", "", "`model`"),
        ("def f():\n    return model\nf()", "", "`model`"),
        ("[kept for _ in found]", "", "`found`, `kept`"),
        ("total += i", "total = 0", "`total`"),
        ("def f():\n    global total\n    total = 1\nf()", "total = 0", "`total`"),
        ("acc = acc + i", "acc = 0", "changes `acc`,"),
        ("x = f(i)\nif best is None or x > best:\n    best = x", "f, best = abs, None", "changes `best`,"),
        ("prev = f(prev)", "prev, f = 0, abs", "changes `prev`,"),
        ("if i % 2:\n    kept = i\nkept", "kept = 0", "changes `kept`,"),
        ("if i == 0:\n    cnt = 0\ncnt += 1", "cnt = 0", "changes `cnt`,"),
        ("y = [best for best in [i]]\nbest = max(best, y)", "best = 0", "changes `best`,"),
        ("acc = acc + i", "from setups import *", "changes `acc`,"),
        ("def f():\n    global cnt\n    cnt = 1\ncnt += 1\ncnt += 1", "cnt = 0", "changes `cnt`,"),
        ("get_ipython().system('ls')", "", "loop_code uses a magic"),
        ("i", "get_ipython().run_line_magic('pip', 'x')", "setup_code uses a magic"),
    ],
)
def test_what_workers_do_not_have_is_named(body: str, setup: str, expected: str) -> None:
    assert expected in str(worker_names.fault(ast.parse(body), ast.parse(setup), SESSION))


@pytest.mark.parametrize(
    ("body", "setup"),
    [
        ("model(i)", "def model(i): return i"),
        ("model(i)", "import models as model"),
        ("model(i)", "from models import *"),
        ("model = 1\nmodel + i", ""),
        ("total = 0\nfor x in range(i):\n    total += x\ntotal", ""),
        ("def f(model):\n    total = 0\n    total += model\n    return total\nf(i)", ""),
        ("unknown(i)", ""),
        ("best = 0\nbest = max(best, i)", "best = None"),
        ("if i:\n    x = 1\nelif i > 2:\n    x = 2\nelse:\n    raise ValueError\nx", "x = 0"),
        ("try:\n    x = f(i)\nexcept ValueError:\n    x = None\nx", "x, f = 0, abs"),
        ("with f(i) as x:\n    y = x\nfor x in [y]:\n    x\n[y for y in 'a']", "x, y, f = 0, 0, abs"),
        ("i = i + 1\ni", "i = 0"),
        ("while (x := f(i)):\n    print(x)", "x, f = 0, abs"),
        ("if i:\n    continue\nawait f(i)", "f = 1"),
    ],
)
def test_code_that_brings_its_names_is_accepted(body: str, setup: str) -> None:
    assert worker_names.fault(ast.parse(body), ast.parse(setup), SESSION) is None


def test_values_that_a_body_changes_in_place_are_named() -> None:
    body = "found.append(i)\nkept[i] = 1\nmodel.x = 2\nown = []\nown.append(i)"
    setup = "def count():\n    global counted\n    counted += 1"
    assert worker_names.shared(ast.parse(body), ast.parse(setup)) == ["counted", "found", "kept", "model"]

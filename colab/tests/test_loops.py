"""Loops: the rewriting of the syntax tree, and loops as jobs."""

from __future__ import annotations

import ast
import re
from itertools import groupby
from typing import Any

import pytest
from harness import Executor, Finished

from smart_colab_executor.in_kernel import loops


def progress(job: Finished, *names: str) -> list[Any]:
    rows = [tuple(event[name] for name in names) for event in job.of("progress")]
    return [row[0] for row in rows] if len(names) == 1 else rows


def rewritten(body: str, *, skip_errors: bool = False) -> str:
    return ast.unparse(loops.rewrite(ast.parse(body), skip_errors=skip_errors))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("files[{i}]", "files[i]"),
        ("open('data_{i}.csv')", "open(f'data_{i}.csv')"),
        ("'{i}{i}'", "f'{i}{i}'"),
        ("f'{i} {x}'", "f'{i} {x}'"),
        ("f'{[1, 2][{i}]}'", "f'{[1, 2][i]}'"),
        ("{i, 1}", "{i, 1}"),
        ("{'{i}': {i}}", "{f'{i}': i}"),
        ("b'{i}'", "b'{i}'"),
    ],
)
def test_the_placeholder_is_the_iteration_number(body: str, expected: str) -> None:
    value = ast.unparse(ast.parse(expected))
    assert f"keep_result({value})" in rewritten(body)


@pytest.mark.parametrize("head", ["def f():", "async def f():", "class C:"])
def test_a_docstring_stays_a_docstring(head: str) -> None:
    code = rewritten(f"{head}\n    'about {{i}}'\n    x = 'item {{i}}'")
    assert re.search(r'"""about \{i\}"""', code), code
    assert "x = f'item {i}'" in code


def test_a_match_pattern_keeps_its_text() -> None:
    code = rewritten("match x:\n    case '{i}':\n        y = '{i}'")
    assert "case '{i}':" in code
    assert "y = f'{i}'" in code


@pytest.mark.parametrize("body", ["", "# only a comment", "x = 1", "def f():\n    return 1", "break", "continue"])
def test_every_body_compiles(body: str) -> None:
    for skip_errors in (False, True):
        tree = loops.rewrite(ast.parse(body), skip_errors=skip_errors)
        compile(ast.fix_missing_locations(tree), "<cell>", "exec")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("await f()", True),
        ("x = [await f()]", True),
        ("async for x in y: pass", True),
        ("[x async for x in y]", True),
        ("if a:\n    continue\nawait f()", True),
        ("async def f():\n    await g()", False),
        ("x = 1", False),
    ],
)
def test_awaits_are_detected(body: str, expected: bool) -> None:
    assert loops.awaits(ast.parse(body)) is expected


def test_every_iteration_reports_itself(executor: Executor) -> None:
    job = executor.run("print('at', i)\ni * 2", loop={"start": 2, "stop": 5, "total": 9})
    assert job.state == "succeeded", job.events
    assert progress(job, "completed", "total", "iteration", "result", "message", "error") == [
        (i + 1, 9, i, i * 2, None, None) for i in (2, 3, 4)
    ]
    # In order with the output.
    kinds = [kind for kind, _ in groupby(event["type"] for event in job.events)]  # a line may be split
    assert kinds == ["started", "batch", *["stream", "progress"] * 3, "finished"]
    assert job.job["loop"] == {
        "start": 2,
        "stop": 5,
        "total": 9,
        "on_error": "stop",
        "batch_size": None,
        "cluster": None,
    }


def test_continue_counts_its_iteration(executor: Executor) -> None:
    job = executor.run("if i == 1:\n    continue\ni", loop={"stop": 3})
    assert progress(job, "completed", "result") == [(1, 0), (2, None), (3, 2)]


def test_break_ends_the_loop_as_a_success(executor: Executor) -> None:
    job = executor.run("if i == 2:\n    break\ni", loop={"stop": 9})
    assert job.state == "succeeded"
    assert progress(job, "completed", "message") == [(1, None), (2, None), (3, "break")]


def test_a_loop_over_numbers_runs_each_of_them_in_its_place(executor: Executor) -> None:
    numbers = [3, 40, 41, 700]
    loop = {"start": 1, "stop": 4, "batch_size": 2, "on_error": "skip", "numbers": numbers}
    job = executor.run("1 / (i - 41)\ni * 2", loop=loop)
    assert job.state == "succeeded"
    assert progress(job, "completed", "iteration", "result") == [(2, 40, 80), (3, 41, None), (4, 700, 1400)]
    assert job.of("progress")[1]["error"]["ename"] == "ZeroDivisionError"
    assert "numbers" not in job.job["loop"]


def test_a_loop_over_nothing_succeeds(executor: Executor) -> None:
    job = executor.run("1 / 0", loop={"start": 3, "stop": 3})
    assert (job.state, job.of("progress")) == ("succeeded", [])


def test_an_error_stops_the_loop_and_shows_the_users_lines(executor: Executor) -> None:
    job = executor.run("  # the body\n  value = 1\n\n  value / (i - 1)\n  value = 2", loop={"stop": 5})
    assert (job.state, job.reason) == ("failed", "python_error")
    assert progress(job, "completed") == [1]
    [error] = job.of("error")
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert error["ename"] == "ZeroDivisionError"
    assert re.search(r"-+> 4 value / \(i - 1\)", text), text
    assert "_smart_colab" not in text


def test_skipped_errors_are_reported(executor: Executor) -> None:
    body = "x = 1\nif i == 1:\n    raise ValueError('odd')\ni"
    job = executor.run(body, loop={"stop": 3, "on_error": "skip"})
    assert job.state == "succeeded"
    first, second, third = job.of("progress")
    assert (first["error"], third["error"]) == (None, None)
    assert (second["error"]["ename"], second["error"]["evalue"]) == ("ValueError", "odd")
    text = "".join(second["error"]["traceback"])
    assert "line 3" in text
    assert "raise ValueError('odd')" in text
    assert second["result"] is None


def test_skipping_does_not_catch_an_interrupt(executor: Executor) -> None:
    job_id = executor.submit(
        "import time\nprint('in', flush=True)\ntime.sleep(600)", loop={"stop": 3, "on_error": "skip"}
    )
    executor.wait_for_output(job_id, "in")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert (job.state, job.of("progress")) == ("interrupted", [])


@pytest.mark.parametrize(
    "body",
    ["print(i)\nif i == 1:\n    continue", "    print(i)\n    x = 1", "\tprint(i)\n\tx = 1", "\n\n  print(i)\n"],
    ids=["flush", "spaces", "tabs", "blank lines"],
)
def test_any_indentation_is_accepted(executor: Executor, body: str) -> None:
    assert executor.run(body, loop={"stop": 2}).stdout == "0\n1\n"


def test_a_multiline_string_keeps_its_lines(executor: Executor) -> None:
    job = executor.run('text = """a\n  b\nc"""\ntext', loop={"stop": 1})
    assert progress(job, "result") == ["a\n  b\nc"]


def test_magics_work_in_a_loop(executor: Executor) -> None:
    job = executor.run("%timeit -n1 -r1 -q pass\n!echo n{i}\n'done {i}'", loop={"stop": 2})
    assert [line for line in job.stdout.splitlines() if line] == ["n0", "n1"]
    assert progress(job, "result") == ["done 0", "done 1"]


def test_a_cell_magic_can_be_the_body(executor: Executor) -> None:
    job = executor.run("%%capture\nprint('unseen')", loop={"stop": 2})
    assert (job.stdout, progress(job, "completed")) == ("", [1, 2])


def test_await_works_in_a_loop(executor: Executor) -> None:
    body = "import asyncio\nawait asyncio.sleep(0)\nif i == 1:\n    continue\nawait asyncio.sleep(0, i)"
    job = executor.run(body, loop={"stop": 3})
    assert progress(job, "completed", "result") == [(1, 0), (2, None), (3, 2)]


def test_decorators_and_functions_work_in_a_loop(executor: Executor) -> None:
    body = "import functools\n@functools.cache\ndef f(x):\n    return x + i\nf(1)"
    assert progress(executor.run(body, loop={"stop": 2}), "result") == [1, 2]


def test_a_body_that_does_not_parse_fails_before_the_first_iteration(executor: Executor) -> None:
    job = executor.run("print('never')\nx = = 1", loop={"stop": 3})
    assert (job.state, job.reason, job.stdout) == ("failed", "python_error", "")
    assert job.of("error")[0]["ename"] == "SyntaxError"
    assert job.of("progress") == []


def test_the_cell_after_a_broken_loop_runs_once(executor: Executor) -> None:
    executor.run("x = = 1", loop={"stop": 3})
    job = executor.run("print('once')")
    assert (job.stdout, job.of("progress")) == ("once\n", [])


def test_a_loop_leaves_no_hidden_names(executor: Executor) -> None:
    executor.run("before = set(dir())")
    executor.run("'value'", loop={"stop": 2})
    left = executor.run("print(sorted(name for name in set(dir()) - before if not name.startswith('_i')))").stdout
    assert left in ("['before', 'i']\n", "['before']\n")


def test_numpy_scalars_are_results(executor: Executor) -> None:
    pytest.importorskip("numpy")
    job = executor.run("import numpy as np\nnp.int64(i) if i else np.float32(0.5)", loop={"stop": 2})
    assert progress(job, "result") == [0.5, 1]

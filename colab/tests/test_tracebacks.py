"""Every exception is shown with its name, its message and the user's own lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Executor, Finished

HIDDEN = ("_smart_colab", "/IPython/", "/ipykernel/", "/traitlets/")
BROKEN = "class Broken(Exception):\n    def {}(self):\n        raise RuntimeError('no text')\n"
GROUP = "ExceptionGroup('both', [ValueError('first'), ExceptionGroup('inner', [KeyError('deep')])])"


@pytest.fixture(scope="module")
def session(executor: Executor) -> Iterator[str]:
    """Name a session for these tests."""
    yield "tracebacks"
    executor.call("DELETE", "/sessions/tracebacks")


def text(error: dict[str, Any]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))


def only_error(job: Finished) -> dict[str, Any]:
    assert (job.state, job.reason) == ("failed", "python_error")
    [error] = job.of("error")
    assert not any(word in text(error) for word in HIDDEN), text(error)
    assert not job.streams["stderr"]
    return error


@pytest.mark.parametrize(
    ("code", "ename", "evalue", "shown"),
    [
        (f"raise {GROUP}", "ExceptionGroup", "both", ["ValueError: first", "KeyError: 'deep'", "line 1"]),
        ("raise BaseExceptionGroup('b', [KeyboardInterrupt('k')])", "BaseExceptionGroup", "b", ["KeyboardInterrupt"]),
        (f"try:\n    raise {GROUP}\nexcept* ValueError:\n    raise", "ExceptionGroup", "both", ["KeyError: 'deep'"]),
        (f"try:\n    raise {GROUP}\nexcept Exception as e:\n    raise OSError('o') from e", "OSError", "o", ["'deep'"]),
        ("%nosuchmagic", "UsageError", "`%nosuchmagic` not found", ["nosuchmagic"]),
        ("%%nosuchmagic\nx", "UsageError", "nosuchmagic` not found", ["nosuchmagic"]),
        (BROKEN.format("_render_traceback_") + "raise Broken('why')", "Broken", "why", ["line 4", "Broken: why"]),
        (
            "class Odd(Exception):\n    def _render_traceback_(self):\n        return None\nraise Odd('why')",
            "Odd",
            "why",
            ["line 4", "Odd: why"],
        ),
        (
            "class Odd(Exception):\n    def _render_traceback_(self):\n        return ['one', 2]\nraise Odd('why')",
            "Odd",
            "why",
            ["line 4", "Odd: why"],
        ),
        (BROKEN.format("__str__") + "raise Broken('why')", "Broken", "no message", ["line 4", "Broken"]),
        (BROKEN.format("__repr__") + "raise Broken('why')", "Broken", "why", ["raise Broken"]),
        ("raise ValueError(10**5000)", "ValueError", "no message", ["line 1"]),
        ("async def f():\n    raise ValueError(10**5000)\nawait f()", "ValueError", "no message", ["line 2"]),
        ("error = ValueError('x')\nerror.add_note('a note')\nraise error", "ValueError", "x", ["a note"]),
        ("x = = 1", "SyntaxError", "invalid syntax", ["x = = 1"]),
        ("if True:\nx = 1", "IndentationError", "expected an indented block", ["x = 1"]),
        ("exec('x = = 1')", "SyntaxError", "invalid syntax", ["x = = 1", "exec("]),
        ("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('v') from e", "ValueError", "v", ["KeyError"]),
        ("%run /nowhere/at/all.py", "Exception", "not found", ["run"]),
        ("input('name? ')", "StdinNotImplementedError", "", ["input"]),
        ("raise ValueError('a\\ud83db')", "ValueError", "a\ufffdb", ["a\ufffdb"]),
        ("error = ValueError('x')\nerror.add_note('n\\ud83d')\nraise error", "ValueError", "x", ["n\ufffd"]),
    ],
)
def test_an_exception_has_its_name_its_message_and_the_users_lines(
    executor: Executor, session: str, code: str, ename: str, evalue: str, shown: list[str]
) -> None:
    error = only_error(executor.run(code, session=session))
    assert error["ename"] == ename
    assert evalue in error["evalue"]
    for part in shown:
        assert part in text(error), text(error)
    # The kernel answers later requests.
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_output_of_a_users_handler_is_kept_beside_the_error(executor: Executor, session: str) -> None:
    handler = "def handler(shell, kind, value, tb, tb_offset=None):\n    print('mine:', value)\n"
    executor.run(handler + "get_ipython().set_custom_exc((ZeroDivisionError,), handler)", session=session)
    job = executor.run("1 / 0", session=session)
    error = only_error(job)
    assert (error["ename"], error["evalue"], job.stdout) == (
        "ZeroDivisionError",
        "division by zero",
        "mine: division by zero\n",
    )
    # The lines of the previous exception are not shown again.
    executor.run("[]['x']", session=session)
    assert "TypeError" not in text(only_error(executor.run("1 / 0", session=session)))
    executor.run("get_ipython().set_custom_exc((), None)", session=session)


@pytest.mark.parametrize("last", ["finally:\n    y = 2", "finally:\n    y = 1\n    z = 2"])
def test_the_line_that_raised_is_marked(executor: Executor, session: str, last: str) -> None:
    error = only_error(executor.run(f"try:\n    1 / 0\n{last}", session=session))
    assert re.search(r"-+> 2 +1 / 0", text(error)), text(error)


def test_a_failing_formatter_fails_no_later_cell(executor: Executor, session: str) -> None:
    code = "class Bad:\n    def _repr_html_(self):\n        raise ValueError('no html')\nBad()"
    job = executor.run(code, session=session)
    assert job.state == "succeeded"
    assert job.of("error")[0]["evalue"] == "no html"
    assert job.of("execute_result")
    for code in ("import asyncio\nawait asyncio.sleep(0)\nprint(1)", "print(1)", "await asyncio.sleep(0)\nprint(1)"):
        job = executor.run(code, session=session)
        assert (job.state, job.stdout, job.of("error")) == ("succeeded", "1\n", [])


def test_a_lone_surrogate_in_a_display_is_replaced(executor: Executor, session: str) -> None:
    code = "display({'text/plain': 'a\\ud83db \\ud83d\\ude00', 'application/json': {'\\udfff': ['\\ud800']}}, raw=True)"
    job = executor.run(code, session=session)
    assert job.state == "succeeded"
    assert job.of("display_data")[0]["data"] == {
        "text/plain": "a\ufffdb \U0001f600",
        "application/json": {"\ufffd": ["\ufffd"]},
    }


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (f"raise {GROUP}", ["ExceptionGroup", "both", "ValueError: first", "KeyError: 'deep'"]),
        (
            "raise ExceptionGroup('b', [ValueError('\\n'), ValueError('\\ntwo\\nlines'), ValueError()])",
            ["[ValueError; ValueError: two; ValueError]"],
        ),
        (BROKEN.format("__str__") + "raise Broken", ["Broken", "no message"]),
        ("raise ValueError(10**5000)", ["ValueError", "no message"]),
        ("error = ValueError('x')\nerror.add_note('a note')\nraise error", ["ValueError", "x", "a note"]),
        ("raise ValueError('a\\ud83db')", ["a\ufffdb"]),
    ],
)
def test_a_skipped_error_has_its_text_in_one_line(
    executor: Executor, session: str, body: str, parts: list[str]
) -> None:
    job = executor.run(body, session=session, loop={"stop": 2, "on_error": "skip"})
    assert job.state == "succeeded"
    for event in job.of("progress"):
        sentence = f"{event['error']['ename']}: {event['error']['evalue'].splitlines()[0]}"
        for part in parts:
            assert part in sentence


def test_a_group_that_ends_a_loop_is_shown_whole(executor: Executor, session: str) -> None:
    error = only_error(executor.run(f"if i == 1:\n    raise {GROUP}", session=session, loop={"stop": 3}))
    assert "KeyError: 'deep'" in text(error)
    assert "both" in error["evalue"]


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("print('first')\nlen?\nprint('last')", ["Return the number of items"]),
        ("def f():\n    return 41 + 1\n\nprint('first')\nf??\nprint('last')", ["return 41 + 1"]),
        ("print('first')\nlen?\nstr.join?\nprint('last')", ["number of items", "Concatenate"]),
        ("print('first')\n%psearch str.jo*\nprint('last')", ["str.join"]),
        ("print('first')\n%pycat shown.py\nprint('last')", ["tiny"]),
        ("print('first')\n%load shown.py\nprint('last')", ["tiny"]),
        ("print('first')\n%edit shown.py\nprint('last')", ["tiny"]),
        ("from IPython.core import page\nprint('first')\npage.page('paged')\nprint('last')", ["paged"]),
    ],
)
def test_text_for_a_notebooks_pager_is_output_in_order(
    executor: Executor, session: str, code: str, parts: list[str]
) -> None:
    (executor.root / "shown.py").write_text("print('tiny')\n")
    job = executor.run(code, session=session)
    assert job.state == "succeeded"
    shown = job.of("display_data")
    # A line may be split.
    texts = [event.get("text", "|") for event in job.events if event["type"] in ("stream", "display_data")]
    assert "".join(texts) == f"first\n{'|' * len(shown)}last\n"
    page = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(event["data"]["text/plain"] for event in shown))
    for part in parts:
        assert part in page


def test_recalled_code_is_shown(executor: Executor, session: str) -> None:
    number = executor.run("mine = 6 * 7", session=session).events[0]["execution_count"]
    job = executor.run(f"%recall {number}", session=session)
    assert job.of("display_data")[0]["data"]["text/plain"] == "mine = 6 * 7"


@pytest.mark.parametrize("code", ["1 +", "def f(:\n    pass", "x = (\n"])
@pytest.mark.parametrize("loop", [None, {"stop": 2}])
def test_a_syntax_error_names_its_cell(
    executor: Executor, session: str, code: str, loop: dict[str, int] | None
) -> None:
    job = executor.run(code, session=session, **({"loop": loop} if loop else {}))
    [error], [started] = job.of("error"), job.of("started")
    assert f"(Cell In[{started['execution_count']}], line 1)" in error["evalue"]
    assert "ipykernel_" not in "\n".join(error["traceback"])


def test_every_frame_of_a_cell_has_its_name(executor: Executor, session: str) -> None:
    executor.run("def fails():\n    1 / 0", session=session)
    [error] = executor.run("fails()", session=session).of("error")
    assert "ipykernel_" not in "\n".join(error["traceback"])


def test_an_error_without_its_colors_is_its_message(executor: Executor, session: str) -> None:
    [error] = executor.run("raise ValueError('\\x1b[1;31mred\\x1b[0m \\x1b[Kpaint')", session=session).of("error")
    assert error["evalue"] == "red paint"


def test_numbers_without_a_json_form_are_shown_without_a_warning(executor: Executor, session: str) -> None:
    code = "from IPython.display import JSON\nJSON({'a': float('nan'), 'b': [float('inf')]})"
    job = executor.run(code, session=session)
    assert job.streams == {"stdout": "", "stderr": ""}
    assert set(job.of("execute_result")[0]["data"]["application/json"]) == {"a", "b"}


def test_programs_do_not_see_the_kernels_arguments(executor: Executor, session: str) -> None:
    parse = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n', default=3)\nprint(p.parse_args().n)"
    assert executor.run(parse, session=session).stdout == "3\n"
    job = executor.run("import sys\nprint(sys.argv)\np.print_usage()", session=session)
    assert job.stdout == "['cell']\nusage: cell [-h] [--n N]\n"
    tests = "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        pass\nunittest.main(exit=False)"
    assert "Ran 1 test" in executor.run(tests, session=session).streams["stderr"]

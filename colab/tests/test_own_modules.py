"""Modules beside the data can be imported, and none of them keeps a kernel from starting."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor

pytestmark = pytest.mark.fresh_kernel

Start = Callable[..., Executor]


@pytest.fixture
def name() -> str:
    """A module that no other test has."""
    return f"own_{uuid.uuid4().hex[:8]}"


def last_line(executor: Executor, session: str, code: str) -> str:
    job = executor.run(code, session=session)
    assert job.state == "failed"
    return str(job.of("error")[0]["traceback"][-1])


def test_a_written_and_an_uploaded_module_are_imported(executor: Executor, session: str, name: str) -> None:
    executor.run(f"%%writefile {name}.py\ndef double(x): return 2 * x", session=session)
    code = f"import {name}\nprint({name}.double(2))"
    assert executor.run(code, session=session).stdout == "4\n"
    (executor.root / f"{name}_up").mkdir()
    (executor.root / f"{name}_up" / "inner.py").write_text("found = 5")
    assert executor.run(f"from {name}_up import inner\nprint(inner.found)", session=session).stdout == "5\n"
    # Also where the code has gone to another folder, and there too.
    executor.run(f"import os\nos.mkdir('{name}_below')\nos.chdir('{name}_below')", session=session)
    (executor.root / f"{name}_below" / f"{name}_here.py").touch()
    assert executor.run(f"import {name}_up.inner, {name}_here", session=session).state == "succeeded"


@pytest.mark.parametrize(
    "workers", ["multiprocessing.get_context('spawn').Pool(1)", "concurrent.futures.ProcessPoolExecutor(1)"]
)
def test_workers_import_the_module_whose_function_they_run(
    executor: Executor, session: str, name: str, workers: str
) -> None:
    (executor.root / f"{name}.py").write_text("def double(x): return 2 * x")
    code = (
        f"import concurrent.futures, multiprocessing, {name}\n"
        f"with {workers} as pool: print(list(pool.map({name}.double, [2])))"
    )
    assert executor.run(code, session=session).stdout == "[4]\n"


def test_modules_named_as_the_kernels_own_keep_none_from_starting(start: Start, tmp_path: Path) -> None:
    from importlib.metadata import packages_distributions

    names = {*sys.stdlib_module_names, *packages_distributions(), "sitecustomize", "usercustomize"}
    names.discard("smart_colab_executor")
    # What shows tracebacks and pictures is imported late, and is the user's then, as in Jupyter.
    late = {"executing", "stack_data", "pygments", "asttokens", "pure_eval", "numpy", "matplotlib", "matplotlib_inline"}
    # Those of other systems are looked for everywhere.
    foreign = {"_winapi", "_winreg", "msvcrt", "nt", "winreg", "_overlapped"}
    for name in names - late - foreign:
        if name.isidentifier() and not name.startswith("__"):
            (tmp_path / f"{name}.py").write_text("raise SystemError('the kernel imported this')")
    (tmp_path / "mine.py").write_text("def double(x): return 2 * x")
    executor = start()
    code = (
        "import mine, random, statistics, multiprocessing\n"
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.map(mine.double, [1]), random.random() < 1)"
    )
    job = executor.run(code)
    assert job.stdout == "[2] True\n", job.events
    executor.post("/sessions/main/restart")
    assert executor.run("print(1)").stdout == "1\n"
    said = last_line(executor, "main", "random.of_mine()") if executor.run("import random").state == "succeeded" else ""
    assert said == f"[{tmp_path / 'random.py'} is hidden by another module of that name: rename it]"


def test_a_module_in_another_folder_is_named_with_the_way_to_it(executor: Executor, session: str, name: str) -> None:
    folder = executor.root / f"{name}_src" / "lib"
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text("x = 1")
    said = last_line(executor, session, f"import {name}")
    way = f"import sys; sys.path.insert(0, {str(folder)!r})"
    assert said == f"[{folder / name}.py is not where Python looks: run {way} first]"
    assert executor.run(f"{way}\nimport {name}", session=session).state == "succeeded"
    (executor.root / f"{name}_src" / f"{name}_package" / "deep").mkdir(parents=True)
    (executor.root / f"{name}_src" / f"{name}_package" / "deep" / "inner.py").touch()
    said = last_line(executor, session, f"import {name}_package.deep.inner")
    # Python names the part that it misses.
    assert said.startswith(f"[{executor.root / f'{name}_src' / f'{name}_package'}"), said
    assert "No module named" in last_line(executor, session, f"import {name}_nowhere")


def test_a_module_that_changed_after_its_import_is_named_where_it_matters(
    executor: Executor, session: str, name: str
) -> None:
    file = executor.root / f"{name}.py"
    file.write_text("def work(x): return x / 0")
    executor.run(f"import {name}", session=session)
    assert "division by zero" in last_line(executor, session, f"{name}.work(1)")
    file.write_text("def work(x): return x / 1\ndef more(): return 'more'")
    way = f"import importlib, {name}; importlib.reload({name})"
    note = f"[{file} changed after the import: run {way} first]"
    for code in (f"{name}.work(1)", f"{name}.more()", f"from {name} import more"):
        assert last_line(executor, session, code) == note
    assert last_line(executor, session, "{}['a']") != note
    assert executor.run(f"{way}\nprint({name}.work(1), {name}.more())", session=session).stdout == "1.0 more\n"
    assert "no attribute" in last_line(executor, session, f"{name}.less()")


def test_a_cell_that_writes_over_an_imported_module_says_how_to_import_it_anew(
    executor: Executor, session: str, name: str
) -> None:
    file = executor.root / f"{name}.py"
    first = executor.run(f"%%writefile {name}.py\nx = 1", session=session)
    executor.run(f"import {name}", session=session)
    again = executor.run(f"%%writefile {name}.py\nx = 1", session=session)
    way = f"import importlib, {name}; importlib.reload({name})"
    assert (first.streams["stderr"], again.stdout) == ("", f"Overwriting {name}.py\n")
    assert again.streams["stderr"] == f"[{file} changed after the import: run {way} first]\n"
    assert executor.run(f"%%writefile {name}.txt\nx = 1", session=session).streams["stderr"] == ""
    executor.run(way, session=session)
    assert executor.run("%%writefile other.py\nx = 1", session=session).streams["stderr"] == ""
    # With autoreload, the next cell has the new one.
    executor.run("%load_ext autoreload\n%autoreload 2", session=session)
    code = f"%%writefile {name}.py\nx = 'new'"
    assert executor.run(code, session=session).streams["stderr"] == ""
    assert executor.run(f"print({name}.x)", session=session).stdout == "new\n"


def test_an_object_that_passes_for_a_module_hides_no_error(executor: Executor, session: str) -> None:
    code = "from cryptography.hazmat.bindings.openssl import binding\n1 / 0"
    assert last_line(executor, session, code).startswith("\x1b[31mZeroDivisionError")

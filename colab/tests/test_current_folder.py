"""Code that has changed its folder, and paths of the file routes, which start in the content root."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor


@pytest.mark.parametrize("route", ["list?path=", "stat?path=", "read?path=", "download?path="])
def test_a_relative_path_that_leads_nowhere_names_the_folder_where_the_code_is(executor: Executor, route: str) -> None:
    session = f"moved-{uuid.uuid4().hex[:8]}"
    executor.run(f"import os\nos.makedirs({session!r})\nos.chdir({session!r})\nos.mkdir('made')", session=session)
    folder = executor.root / session
    for path in ("made", "missing"):
        missing = executor.call("GET", f"/files/{route}{path}")
        assert (missing.status, missing.json["code"]) == (404, "not_found")
        place = f" The code of session {session} is in {folder} now; relative paths start in {executor.root} here"
        end = f", and there it is: {folder / path}." if path == "made" else "."
        assert (place + end) in missing.json["hint"]
    absolute = executor.call("GET", f"/files/{route}{executor.root / 'missing'}")
    assert absolute.status == 404
    assert session not in absolute.json["hint"]
    executor.run("os.chdir('..')", session=session)
    assert session not in executor.call("GET", f"/files/{route}missing").json["hint"]
    executor.call("DELETE", f"/sessions/{session}")


def test_a_folder_that_was_removed_and_one_outside_the_root_hurt_no_answer(
    start: Callable[..., Executor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    executor, outside = start(), tmp_path_factory.mktemp("outside")
    Path(outside / "mine").touch()
    executor.run(f"import os\nos.chdir({str(outside)!r})")
    assert f"there it is: {outside / 'mine'}." in executor.call("GET", "/files/stat?path=mine").json["hint"]
    executor.run("os.mkdir('gone')\nos.chdir('gone')\nos.rmdir(os.getcwd())")
    assert executor.call("GET", "/files/stat?path=mine").status == 404

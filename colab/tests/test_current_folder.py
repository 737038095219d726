"""Code that has changed its current folder, and the file routes, whose paths start in the content root."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor


@pytest.mark.parametrize("route", ["list?path=", "stat?path=", "read?path=", "download?path="])
def test_a_missing_relative_path_names_the_codes_current_folder(executor: Executor, route: str) -> None:
    session = f"moved-{uuid.uuid4().hex[:8]}"
    executor.run(f"import os\nos.makedirs({session!r})\nos.chdir({session!r})\nos.mkdir('made')", session=session)
    folder = executor.root / session
    for path in ("made", "missing"):
        missing = executor.call("GET", f"/files/{route}{path}")
        assert (missing.status, missing.json["code"]) == (404, "not_found")
        place = f" The current folder of session {session} is {folder}; relative paths start in {executor.root} here."
        assert place in missing.json["hint"]
        found = f"{place} The file is there: {folder / path}."
        assert (found in missing.json["hint"]) == (path == "made")
    absolute = executor.call("GET", f"/files/{route}{executor.root / 'missing'}")
    assert absolute.status == 404
    assert session not in absolute.json["hint"]
    executor.run("os.chdir('..')", session=session)
    assert session not in executor.call("GET", f"/files/{route}missing").json["hint"]
    executor.call("DELETE", f"/sessions/{session}")


def test_removed_and_outside_current_folders_do_not_break_replies(
    start: Callable[..., Executor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    executor, outside = start(), tmp_path_factory.mktemp("outside")
    Path(outside / "mine").touch()
    executor.run(f"import os\nos.chdir({str(outside)!r})")
    assert f"The file is there: {outside / 'mine'}." in executor.call("GET", "/files/stat?path=mine").json["hint"]
    executor.run("os.mkdir('gone')\nos.chdir('gone')\nos.rmdir(os.getcwd())")
    assert executor.call("GET", "/files/stat?path=mine").status == 404

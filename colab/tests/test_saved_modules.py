"""A module that is loaded has what the session had imported of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor
from test_saved_sessions import FILE, LOAD, SAVE, change_manifest, loaded, saved

from smart_colab_executor.in_kernel import submodules

__all__ = ["loaded", "saved"]  # fixtures


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the package `of_parts`, whose plain import gives none of its parts."""
    for part in ("one", "two", "inner/deep", "_hidden"):
        file = tmp_path / f"of_parts/{part}/__init__.py"
        file.parent.mkdir(parents=True)
        file.touch()
    (tmp_path / "of_parts/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module


@pytest.fixture(autouse=True)
def _forgotten() -> Any:
    yield
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "of_parts"]:
        del sys.modules[name]


def test_a_module_has_its_submodules_in_a_new_session(executor: Executor, session: str) -> None:
    root, other = str(executor.root), f"{session}-new"
    executor.run(f"import xml.dom.minidom\n{SAVE}({root!r}, {FILE!r})", session=session)
    use = "print(xml.dom.minidom.parseString('<a/>').documentElement.tagName)"
    done = executor.run(f"{LOAD}({root!r}, {FILE!r})\n{use}", session=other)
    assert done.stdout.endswith("\na\n"), done
    executor.call("DELETE", f"/sessions/{other}")


def test_modules_in_values_and_below_others_have_theirs_too(saved: Any, loaded: Any, package: Any) -> None:
    package("of_parts.one")
    package("of_parts.inner.deep")
    package("of_parts._hidden")
    saved(held={"in": [sys.modules["of_parts"]]}, inner=sys.modules["of_parts.inner"])
    for names in (["held"], ["inner"]):
        forget()
        assert loaded(*names)[1] == {names[0]: "loaded"}
        assert "of_parts.inner.deep" in sys.modules
        assert ("of_parts.one" in sys.modules) == (names == ["held"])
        assert "of_parts._hidden" not in sys.modules


def test_submodules_that_cannot_be_imported_are_named_and_the_rest_is_there(
    saved: Any, loaded: Any, package: Any, tmp_path: Path
) -> None:
    package("of_parts.one")
    package("of_parts.two")
    package("of_parts.inner.deep")
    saved(parts=sys.modules["of_parts"])
    (tmp_path / "of_parts/one/__init__.py").write_text("raise SystemExit('not today')")
    forget()
    found, said = loaded()
    assert said == {"parts": "loaded, without of_parts.one (SystemExit: not today)"}
    assert found["parts"].two is sys.modules["of_parts.two"]
    (tmp_path / "of_parts/inner/__init__.py").write_text("import not_there_at_all")
    forget()
    missing = "of_parts.inner, of_parts.inner.deep, of_parts.one"
    reason = "of_parts.inner: ModuleNotFoundError: No module named 'not_there_at_all'"
    assert loaded()[1] == {"parts": f"loaded, without {missing} ({reason})"}


def test_a_file_that_names_no_submodules_is_loaded(saved: Any, loaded: Any, root: Path, package: Any) -> None:
    package("of_parts.one")
    saved(parts=sys.modules["of_parts"])
    change_manifest(root, lambda manifest: manifest["variables"][0].pop("submodules"))
    forget()
    found, said = loaded()
    assert (said, hasattr(found["parts"], "one")) == ({"parts": "loaded"}, False)


def test_a_package_of_many_parts_keeps_the_outer_ones(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package("of_parts.two")
    package("of_parts.inner.deep")
    monkeypatch.setattr(submodules, "MAX_SUBMODULES", 2)
    assert submodules.of(sys.modules["of_parts"]) == ["of_parts.inner", "of_parts.two"]
    assert submodules.shown(list("abcdefg")) == "a, b, c, d, e and 2 more"

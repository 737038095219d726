"""The variables of a session are saved to a file and loaded in another kernel: right, or refused with the reason."""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from harness import Executor

from smart_colab_executor.in_kernel import saved_state, versions
from smart_colab_executor.in_kernel.loading import load
from smart_colab_executor.in_kernel.saved_state import (
    MANIFEST,
    SavedSessionNotFound,
    SessionNotLoaded,
    SessionNotSaved,
    SessionPathInvalid,
)
from smart_colab_executor.in_kernel.saving import save

FILE = "saved/all.zip"
SAVE = "__import__('_smart_colab').save_variables"
LOAD = "__import__('_smart_colab').load_variables"


def shell(**variables: Any) -> Any:
    """A shell with these variables, as far as saving and loading need one."""
    return SimpleNamespace(user_ns={"__name__": "__main__", **variables}, user_ns_hidden={})


def rows(printed: str) -> dict[str, str]:
    """Return what became of each variable."""
    table = printed.partition("\n\n")[0].splitlines()
    at = table[0].index("size") + 6
    return {row.split()[0]: row[at:].strip() for row in table[1:]}


@pytest.fixture
def saved(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, str]]:
    """Save variables to FILE."""

    def run(*names: str, **variables: Any) -> dict[str, str]:
        save(shell(**variables), str(root), FILE, list(names) or None)
        return rows(capsys.readouterr().out)

    return run


@pytest.fixture
def loaded(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Load FILE into a shell with these variables; return the shell's and what became of each."""

    def run(*names: str, overwrite: bool = False, **variables: Any) -> tuple[dict[str, Any], dict[str, str]]:
        there = shell(**variables)
        load(there, str(root), FILE, list(names) or None, overwrite=overwrite)
        return there.user_ns, rows(capsys.readouterr().out)

    return run


def change_manifest(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Make the file one of another machine."""
    with zipfile.ZipFile(root / FILE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    with zipfile.ZipFile(root / FILE, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, json.dumps(manifest) if name == MANIFEST else data)


def test_arrays_come_back_as_they_were(saved: Any, loaded: Any) -> None:
    arrays = {
        "whole": np.arange(6).reshape(2, 3),
        "by_columns": np.asfortranarray(np.ones((3, 2), "f4")),
        "strided": np.arange(10)[::3],
        "single": np.array(2.5),
        "new_axis": np.arange(3)[None],
        "swapped": np.arange(3, dtype=">i4"),
        "dates": np.array(["2024-01-01"], "M8[D]"),
        "texts": np.array(["é", ""]),
        "records": np.zeros(2, [("x", "i4"), ("y", "f8", 2)]),
        "objects": np.array([1, "a", None], object),
        "masked": np.ma.array([1, 2], mask=[False, True]),
    }
    formats = saved(**arrays)
    assert {name for name, text in formats.items() if not text.startswith("npy")} == {"records", "objects", "masked"}
    found, _ = loaded()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape, type(found[name])) == (array.dtype, array.shape, type(array))
        assert repr(found[name]) == repr(array)
    assert found["by_columns"].flags.f_contiguous


def test_an_array_that_repeats_another_one_is_saved_as_that_one(saved: Any, loaded: Any, root: Path) -> None:
    huge = np.broadcast_to(np.arange(3.0)[:, None], (3, 10**9))
    assert saved(huge=huge) == {"huge": "broadcast"}
    assert (root / FILE).stat().st_size < 2000
    found, _ = loaded()
    assert (found["huge"].shape, found["huge"].strides) == (huge.shape, huge.strides)
    assert found["huge"][:, 7].tolist() == [0, 1, 2]


def test_what_variables_share_is_shared_again(saved: Any, loaded: Any) -> None:
    base, inner = np.arange(10.0), [1]
    around: list[Any] = []
    around.append(around)
    said = saved(base=base, other=base, view=base[2:4], inner=inner, holder={"a": base, "b": inner}, around=around)
    assert said["other"] == "the same object as base"
    assert said["view"].endswith("a copy: it shares memory with base")
    found, _ = loaded()
    assert found["other"] is found["base"]
    assert found["holder"]["a"] is found["base"]
    assert found["holder"]["b"] is found["inner"]
    assert found["around"][0] is found["around"]
    found, _ = loaded("holder")
    assert "base" not in found
    assert found["holder"]["a"].tolist() == base.tolist()


def test_what_cannot_be_saved_is_named_and_the_rest_is_saved(saved: Any, loaded: Any, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        works = (number for number in (1, 2))
        held = {"works": works, "file": file, "lock": threading.Lock(), "within": [works], "module": json, "kept": 5}
        said = saved(**held)
        assert next(works) == 1, "saving ran the session's generator"
    assert said["works"] == "not saved: a generator is unfinished work: save what it gives, as list(it)"
    assert said["file"].startswith("not saved: an open file")
    assert "_thread.lock" in said["lock"]
    assert said["within"] == said["works"]
    found, _ = loaded()
    assert (found["kept"], found["module"]) == (5, json)
    assert found.keys() == {"__name__", "__builtins__", "kept", "module"}


def test_where_nothing_can_be_saved_the_earlier_file_stays(saved: Any, root: Path) -> None:
    with pytest.raises(SessionNotSaved, match=r"nothing is saved.*: works: a generator is unfinished work"):
        saved(works=iter(number for number in (1,)))
    assert list((root / "saved").iterdir()) == []
    saved(a=1)
    before = (root / FILE).read_bytes()
    with pytest.raises(SessionNotSaved, match="nothing is saved"):
        saved("works", works=iter(number for number in (1,)), a=2)
    assert (root / FILE).read_bytes() == before


class Quitting:
    """Ends the program where it is saved or loaded."""

    is_saved = True

    def __getstate__(self) -> object:
        return 1 if self.is_saved else sys.exit("saving")

    def __setstate__(self, state: object) -> None:
        sys.exit("loading")


class Odd(dict[str, int]):
    def __len__(self) -> int:
        raise ArithmeticError


def test_an_exit_in_a_variable_costs_only_that_variable(saved: Any, loaded: Any) -> None:
    said = saved(a=1, never=type("Never", (Quitting,), {"is_saved": False})(), once=Quitting(), odd=Odd(x=1), z=2)
    assert said["never"] == "not saved: SystemExit: saving"
    found, said = loaded()
    assert said["once"].startswith("not loaded: SystemExit: loading")
    assert (found["a"], dict(found["odd"]), found["z"]) == (1, {"x": 1}, 2)


def test_a_variable_that_a_thread_removes_is_saved_as_it_was(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = shell(a=1, fleeting=2)

    class Hidden(dict[str, Any]):
        def __contains__(self, name: object) -> bool:
            session.user_ns.pop("fleeting", None)
            return False

    session.user_ns_hidden = Hidden()
    save(session, str(root), FILE, None)
    assert rows(capsys.readouterr().out) == {"a": "pickle", "fleeting": "pickle"}


def test_saving_changes_nothing_in_the_session(root: Path) -> None:
    session = shell(a=[1], b=np.ones(3), _private=1)
    before = dict(session.user_ns)
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr, unused-ignore]
    save(session, str(root), FILE, None)
    assert session.user_ns == before
    assert states == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index, union-attr, unused-ignore]
    assert [file.name for file in (root / "saved").iterdir()] == ["all.zip"]


def test_names_that_are_taken_are_kept_unless_they_are_to_be_replaced(saved: Any, loaded: Any) -> None:
    saved(a=1, b=2)
    found, said = loaded(a="mine")
    assert (found["a"], found["b"]) == ("mine", 2)
    assert "the session has one of this name" in said["a"]
    found, said = loaded("a", overwrite=True, a="mine")
    assert (found["a"], said) == (1, {"a": "loaded"})
    with pytest.raises(SessionNotLoaded, match="no variable was loaded"):
        loaded("a", a="mine")


def test_other_versions_are_refused_where_they_do_not_read_each_other(
    saved: Any, loaded: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ModuleType("own_module")
    own.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    own.__file__ = "/content/own_module.py"
    exec("class Own: pass\nclass Other: pass", own.__dict__)
    monkeypatch.setitem(sys.modules, "own_module", own)
    saved(plain=[1], array=np.ones(2), one=own.Own(), many=[own.Other()], number=np.float64(1))
    monkeypatch.delitem(sys.modules, "own_module")

    def change(manifest: dict[str, Any]) -> None:
        manifest["python"] = "3.99"
        manifest["packages"]["numpy"]["version"] = "1.2.3"
        for entry in manifest["variables"]:
            entry["compiled"] |= entry["name"] == "number"

    change_manifest(root, change)
    found, said = loaded()
    assert (found["plain"], said["array"]) == ([1], "loaded")
    assert said["one"] == (
        "not loaded: it needs the module own_module, which is not here: bring its file /content/own_module.py here"
    )
    assert said["many"] == said["one"]
    assert said["number"].startswith(
        f"not loaded: it has functions, or inner state, that only Python 3.99 reads, and this is {versions.PYTHON}"
    )


@pytest.mark.parametrize(
    ("name", "then", "now", "is_read"),
    [
        ("sklearn", "1.5.2", "1.5.0", True),
        ("sklearn", "1.5.2", "1.6.0", False),
        ("pandas", "2.2.3", "3.1.1", True),
        ("pandas", "3.1.1", "2.2.3", False),
        ("numpy", "2.4.6", "1.26.4", True),
    ],
)
def test_a_version_that_misreads_values_is_an_obstacle(
    name: str, then: str, now: str, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(versions, "_installed", lambda _: now)
    saved = {"version": then, "install": f"{name}-dist"}
    obstacle = versions.obstacle(name, saved, is_imported=False, is_state=name == "sklearn")
    assert (obstacle is None) == is_read
    assert is_read or f"%pip install {name}-dist=={then}" in str(obstacle)
    assert versions.obstacle(name, saved, is_imported=True) is None
    assert versions.differences(versions.PYTHON, {name: saved}) == f"{name} {then}, here {now}"


def test_a_damaged_variable_is_lost_alone(saved: Any, loaded: Any, root: Path) -> None:
    saved(a=np.arange(1000), b=[1, 2], c="whole")
    data = bytearray((root / FILE).read_bytes())
    data[data.index(b"\x93NUMPY") + 500] ^= 1
    (root / FILE).write_bytes(data)
    found, said = loaded()
    assert "Bad CRC-32" in said["a"]
    assert ("a" in found, found["b"], found["c"]) == (False, [1, 2], "whole")


def test_a_file_that_is_no_saved_session_is_neither_loaded_nor_replaced(saved: Any, loaded: Any, root: Path) -> None:
    saved(a=np.arange(1000))
    whole = (root / FILE).read_bytes()
    (root / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SessionNotLoaded, match=r"is not a saved session, or is damaged .*: name another"):
        loaded()
    with pytest.raises(SessionNotSaved, match="is not a saved session: name another file"):
        saved(a=1)
    (root / FILE).unlink()
    with pytest.raises(SavedSessionNotFound, match="there is no file"):
        loaded()


@pytest.mark.parametrize("path", ["../out.zip", "/out.zip", "saved/../../out.zip", ".", "", "a" * 5000])
def test_only_files_below_the_content_root_are_named(root: Path, path: str) -> None:
    refused = r"name (a path below it|a file in it, such as (saved_sessions|\.)/|another one)"
    with pytest.raises(SessionPathInvalid, match=refused):
        save(shell(a=1), str(root), path, None)
    with pytest.raises(SessionPathInvalid, match=refused):
        load(shell(), str(root), path, None, overwrite=False)


def test_unknown_names_are_answered_with_the_known_ones(saved: Any, loaded: Any) -> None:
    with pytest.raises(saved_state.SessionVariableNotFound, match="no variable nope; it has a, b"):
        saved("nope", a=1, b=2)
    saved(a=1, b=2)
    with pytest.raises(saved_state.SavedVariableNotFound, match="no nope; it has a, b"):
        loaded("nope")


DEFINED = """
import functools, json, math, numpy as np, statistics, types, typing
scale = 3
def helper(x): return x * scale
def work(x): return helper(x) + math.floor(1.5)
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
class Point:
    def __init__(self, x): self.x = x
    def far(self): return helper(self.x)
point = Point(2); points = [point]
@functools.cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
fib(5)
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up
up = counter(); up()
class Base:
    made = []
    def __init_subclass__(cls): Base.made.append(cls.__name__)
class Sub(Base):
    def show(self): return json.dumps(middle([self.x]))
def middle(values): return statistics.mean(values)
subs = [Sub()]; subs[0].x = 6
UserId = typing.NewType("UserId", int)
made = types.ModuleType("made")
"""
USED = """
scale = 10
print(work(2), even(10), type(point) is Point, points[0] is point, point.far(), up())
print(fib(20), fib.cache_parameters())
print(__builtins__ is __import__("builtins"))
"""


def test_functions_and_classes_work_in_a_new_kernel_with_its_names(executor: Executor, session: str) -> None:
    root = str(executor.root)
    assert executor.run(DEFINED, session=session).state == "succeeded"
    done = executor.run(f"{SAVE}({root!r}, {FILE!r})", session=session)
    said = rows(done.stdout)
    assert {name: text for name, text in said.items() if text.startswith("not")} == {
        "UserId": "not saved: a NewType is pickled as a name (UserId), which another session does not have: "
        "run the cell that makes it again",
        "made": "not saved: a module that was made here cannot be imported again: run the cell that makes it again",
    }
    other = f"{session}-new"
    some = f"scale = 10\n{LOAD}({root!r}, {FILE!r}, ['work', 'point'])\nprint(work(2), scale)"
    assert executor.run(some, session=other).stdout.endswith("\n21 10\n")
    names = "print(sorted(set(dir()) & {'math', 'np', 'scale', 'helper', 'work', 'point', 'Point', 'up'}))"
    assert executor.run(names, session=other).stdout == "['helper', 'math', 'point', 'scale', 'work']\n"
    held = f"{LOAD}({root!r}, {FILE!r}, ['subs'])\nprint(subs[0].show(), Base.made)"
    assert executor.run(held, session=other).stdout.endswith("\n6 ['Sub', 'Sub']\n")
    loaded = executor.run(f"{LOAD}({root!r}, {FILE!r}, overwrite=True)", session=other)
    assert "not loaded" not in loaded.stdout, loaded.stdout
    assert executor.run(USED, session=other).stdout == (
        "21 True True True 20 2\n6765 {'maxsize': None, 'typed': False}\nTrue\n"
    )
    executor.call("DELETE", f"/sessions/{other}")


def test_a_save_that_is_killed_or_finds_no_room_leaves_the_earlier_file(executor: Executor, session: str) -> None:
    root, file = str(executor.root), executor.root / "saved_once" / "all.zip"
    saving = f"{SAVE}({root!r}, 'saved_once/all.zip')"
    executor.run(f"a = 1\n{saving}", session=session)
    before = file.read_bytes()
    last = "import os\nclass Last:\n    def __reduce__(self): os._exit(1)\nlast = [bytes(100_000), Last()]"
    assert executor.run(f"{last}\n{saving}", session=session).reason == "kernel_died"
    assert file.read_bytes() == before
    assert executor.run(f"a = 2\n{saving}", session=session).state == "succeeded"
    if sys.platform != "win32":
        limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))\nbig = bytes(10**6)"
        full = executor.run(f"a = 3\n{limit}\n{saving}", session=session)
        assert "File too large; an earlier file of this name is as it was" in full.of("error")[0]["evalue"]
    loaded = executor.run(f"{LOAD}({root!r}, 'saved_once/all.zip', ['a'], overwrite=True)\nprint(a)", session=session)
    assert loaded.stdout.endswith("\n2\n")
    shutil.rmtree(file.parent)


def test_without_cloudpickle_data_is_saved_and_functions_are_refused(executor: Executor, session: str) -> None:
    hide = "import sys; sys.modules['cloudpickle'] = None; del sys"
    defined = "work = lambda: 1\nclass Own: pass\nown = Own()\ndata = {'a': [1]}"
    saving = f"{SAVE}({str(executor.root)!r}, 'bare.zip', ['work', 'Own', 'own', 'data'])"
    code = f"{hide}\n{defined}\n{saving}"
    said = rows(executor.run(code, session=session).stdout)
    assert said.pop("data") == "pickle"
    assert set(said.values()) == {
        "not saved: functions and classes of the session need cloudpickle: %pip install cloudpickle, and save again"
    }

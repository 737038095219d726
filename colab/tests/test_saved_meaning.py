"""What pickle alone would change silently is saved as it is, or refused with the reason."""

from __future__ import annotations

import _thread
import asyncio
import io
import logging
import pickle
import signal
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_saved_sessions import FILE, change_manifest, loaded, saved, shell

from smart_colab_executor.in_kernel import formats, pickles, versions
from smart_colab_executor.in_kernel.loading import load
from smart_colab_executor.in_kernel.saving import save

__all__ = ["loaded", "saved"]  # fixtures


def of_python(root: Path, version: str) -> None:
    """Make the file one that this version of Python saved."""
    change_manifest(root, lambda manifest: manifest.update(python=version))


def test_an_array_in_a_container_that_repeats_another_one_stays_small(saved: Any, loaded: Any, root: Path) -> None:
    huge = np.broadcast_to(np.arange(3.0), (10**9, 3))
    saved(held={"in": [huge]})
    assert (root / FILE).stat().st_size < 2000
    found = loaded()[0]["held"]["in"][0]
    assert (found.shape, found.strides, found[7].tolist()) == (huge.shape, huge.strides, [0, 1, 2])


def test_what_stands_for_another_object_is_refused(saved: Any) -> None:
    target = ModuleType("target")
    array = np.ma.array([1], mask=[True], hard_mask=True)
    said = saved(view=memoryview(b"a"), within=[memoryview(b"a")], proxy=weakref.proxy(target), hard=array, kept=1)
    assert said.pop("kept") == "pickle"
    assert said.pop("hard").startswith("not saved: numpy loses that a mask is hard: soften_mask() before")
    assert {row[:13] for row in said.values()} == {"not saved: a "}
    assert all("stands for another object" in row for row in said.values())


def test_a_softer_array_of_the_same_kind_hides_no_hard_one(saved: Any) -> None:
    soft, hard = np.ma.array([1]), np.ma.array([1], hard_mask=True)
    assert saved(both=[soft, hard], kept=1)["both"].startswith("not saved: numpy loses")


def test_plain_values_are_read_by_another_python_and_inner_state_is_not(saved: Any, loaded: Any, root: Path) -> None:
    space = types.SimpleNamespace(a=[1], b=types.MappingProxyType({"x": None}), c=type(None), d=list[int])
    code = compile("1", "", "eval")
    saved(
        space=space, code=code, codes=[code], queue=asyncio.Queue(), held=[logging.LoggerAdapter(logging.getLogger())]
    )
    of_python(root, "3.99")
    found, said = loaded()
    assert vars(found.pop("space")) == vars(space)
    assert found.keys() == {"__name__", "__builtins__"}
    assert said["queue"] == (
        f"not loaded: it has functions, or inner state, that only Python 3.99 reads, and this is {versions.PYTHON}: "
        "run the cells that make them again, then load the rest"
    )
    assert said["codes"] == f"not loaded: it holds code: {said['code'].partition(': ')[2]}"


def test_paths_of_python_3_13_are_read_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    path = pickle.dumps(Path("/content/a"), 0).replace(b"cpathlib\n", b"cpathlib._local\n")
    if sys.version_info < (3, 13):
        monkeypatch.delitem(sys.modules, "pathlib._local", raising=False)
    assert pickles.load(io.BytesIO(path), str) == Path("/content/a")


@pytest.mark.parametrize(
    ("module", "name", "package"),
    [
        ("scipy.sparse._csr", "csr_array", None),
        ("scipy.spatial.transform._rotation", "Slerp", "scipy"),
        ("polars.expr.expr", "Expr", "polars"),
        ("sklearn.svm._classes", "SVC", "sklearn"),
        ("pandas.core.frame", "DataFrame", None),
        ("pandas", "ArrowDtype", "pandas"),
        ("numpy", "ndarray", None),
    ],
)
def test_inner_state_of_a_library_is_read_by_its_version_alone(
    module: str, name: str, package: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(name, (), {"__module__": module})
    own = type("Own", (kind,), {"__module__": "own"})
    assert [versions.package_of_state(one) for one in (kind, own)] == [package, None]
    contents = pickles.Contents()
    contents.note(own())
    assert contents.state_of == ({package} if package else set())
    if package:
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setattr(versions, "_installed", lambda _: "2.2.0")
        saved = {"version": "1.14.1", "install": "dist"}
        assert "%pip install dist==1.14.1" in str(versions.obstacle(package, saved, is_imported=False, is_state=True))


class DataFrame:
    """A frame as polars has them: what it writes as one type, another version reads as the next."""

    __module__ = "polars.dataframe.frame"

    def __init__(self, *dtypes: str) -> None:
        self.dtypes = dtypes

    def write_ipc(self, file: Any) -> None:
        file.write(",".join(self.dtypes).encode())


def test_a_column_that_another_polars_reads_as_another_type_is_refused(
    saved: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    polars: Any = ModuleType("polars")
    polars.Object = "Object"
    polars.read_ipc = lambda file: DataFrame(*file.read().decode().replace("Enum", "Categorical").split(","))
    polars.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "polars", polars)
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"polars": ["polars"]})
    monkeypatch.setattr(versions, "_installed", lambda _: "2.1.0")
    assert formats.columns(DataFrame("Categorical(ordering='physical')", "Int64")) == "Categorical, Int64"
    saved(plain=DataFrame("Int64", "Categorical"), enum=DataFrame("Enum(categories=['a'])", "Int64"))
    monkeypatch.setattr(versions, "_installed", lambda _: "1.25.2")
    found, said = loaded()
    assert (found["plain"].dtypes, "enum" in found) == (("Int64", "Categorical"), False)
    assert said["enum"] == (
        "not loaded: polars 1.25.2 reads Enum, Int64 as Categorical, Int64: "
        "%pip install polars==2.1.0, and restart the session"
    )


def test_a_library_that_replaces_the_picklers_hook_saves_no_module_that_was_made_here() -> None:
    contents = pickles.Contents()
    ours: Any = pickles.pickler({}, {}, contents)

    class OfTorch(ours):  # type: ignore[misc]
        def persistent_id(self, value: object) -> None:
            pass

    with pytest.raises(pickles.Unsavable, match="a module that was made here"):
        OfTorch(io.BytesIO()).dump({"made": ModuleType("made")})
    OfTorch(io.BytesIO()).dump([np.float64(1)])
    assert contents.packages == {"numpy"}


class Raising:
    """Raises an exception where it is saved or loaded."""

    def __init__(self, when: str, act: Callable[[], object]) -> None:
        self.when, self.act = when, act

    def __getstate__(self) -> object:
        if self.when == "saved":
            self.act()
        return {"when": self.when, "act": self.act}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["act"]()


def interrupted_by_itself() -> None:
    raise KeyboardInterrupt("mine")


def interrupted_by_the_user() -> None:
    _thread.interrupt_main(signal.SIGINT)
    for _ in range(1000):  # Python looks for signals between instructions
        pass


def swallowed() -> None:
    try:
        interrupted_by_the_user()
    except KeyboardInterrupt:
        raise ValueError("something else") from None


def test_an_interrupt_that_a_value_raises_itself_costs_only_that_value(saved: Any, loaded: Any) -> None:
    said = saved(a=1, never=Raising("saved", interrupted_by_itself), once=Raising("loaded", interrupted_by_itself), z=2)
    assert said["never"] == "not saved: KeyboardInterrupt: mine"
    found, said = loaded()
    assert said["once"] == "not loaded: KeyboardInterrupt: mine"
    assert (found["a"], found["z"]) == (1, 2)


@pytest.mark.parametrize("act", [interrupted_by_the_user, swallowed])
def test_the_users_interrupt_ends_it_whatever_becomes_of_it(act: Callable[[], object], root: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    save(shell(a=1, once=Raising("loaded", act), z=2), str(root), FILE, None)
    before = (root / FILE).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        save(shell(a=1, never=Raising("saved", act), z=2), str(root), FILE, None)
    with pytest.raises(KeyboardInterrupt):
        load(there := shell(), str(root), FILE, None, overwrite=False)
    assert ("a" in there.user_ns, "z" in there.user_ns) == (True, False)
    assert (root / FILE).read_bytes() == before
    assert signal.getsignal(signal.SIGINT) == handler


def test_an_array_that_refuses_writes_refuses_them_again(saved: Any, loaded: Any) -> None:
    arrays = {
        "plain": np.arange(3),
        "strided": np.arange(9)[::3],
        "objects": np.array([{}], object),
        "records": np.rec.array(np.zeros(1, "i4,f8")),
        "held": np.arange(4),
    }
    for array in arrays.values():
        array.flags.writeable = False
    saved(**arrays | {"held": [arrays["held"]], "free": np.arange(3)})
    found = loaded()[0]
    found["held"] = found["held"][0]
    assert [name for name, array in found.items() if name in arrays and array.flags.writeable] == []
    assert found["free"].flags.writeable

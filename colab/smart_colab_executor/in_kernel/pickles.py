"""Pickles the session's values one by one: what one holds of another is a reference, and functions use the session.

Runs in the kernel, as `_smart_colab.pickles`; standard library only, and `cloudpickle` where it is installed, without
which what the session itself defined cannot be saved.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import importlib.util
import io
import pickle
import sys
import weakref
from types import BuiltinFunctionType, CodeType, CoroutineType, FunctionType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any

from . import submodules, versions
from .classes import is_a, module_of, mro_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = 5
# Equal values of these are one object by chance.
ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, type(...), range))
_CACHED = type(functools.cache(len))
NOT_PACKAGES = frozenset(("", "__main__", "_smart_colab", *sys.stdlib_module_names))


class Unsavable(Exception):
    """A value cannot be saved; the message gives the reason and the remedy."""


class Contents:
    """What was found in the pickle of one variable."""

    def __init__(self) -> None:
        # Packages that it needs, other variables that it holds, and names that its functions look up in the session.
        self.packages: set[str] = set()
        # Submodules of the modules that it has.
        self.submodules: set[str] = set()
        self.holds: set[str] = set()
        self.uses: set[str] = set()
        # Packages by whose versions alone parts of it are read.
        self.state_of: set[str] = set()
        # Whether it has bytecode or inner state of Python, which only the same version of Python reads.
        self.is_compiled = False
        self._kinds: dict[int, type] = {}

    def note(self, value: object) -> None:
        """Note the packages of a part. Raises Unsavable."""
        kind = type(value)
        if kind is FunctionType or kind is BuiltinFunctionType or issubclass(kind, type):
            module = module_of(value) if issubclass(kind, type) else getattr(value, "__module__", None)  # type: ignore[arg-type]
            if module == "__main__" and not has_cloudpickle():
                raise Unsavable(
                    "functions and classes of the session need cloudpickle: %pip install cloudpickle, and save again"
                )
            self._add(module)
            return
        check(value)
        if issubclass(kind, ModuleType):
            self._add(getattr(value, "__name__", None))
            self.submodules.update(submodules.of(value))  # type: ignore[arg-type]
        elif id(kind) not in self._kinds:
            self._kinds[id(kind)] = kind
            self._add(module_of(kind))
            self.is_compiled |= kind is CodeType or any(map(versions.is_pythons_own, mro_of(kind)))
            found = {package for package in map(versions.package_of_state, mro_of(kind)) if package}
            self.state_of |= found
            self.packages |= found

    def _add(self, module: object) -> None:
        package = module.partition(".")[0] if isinstance(module, str) else ""
        # Named tuples and Cython's functions have modules that cannot be imported.
        if package not in NOT_PACKAGES and getattr(sys.modules.get(package), "__spec__", None) is not None:
            self.packages.add(package)


def check(value: object) -> None:
    """Raise Unsavable for what `cloudpickle` would save as something else, or with an obscure message."""
    kind = type(value)
    if issubclass(kind, (GeneratorType, CoroutineType)):
        raise Unsavable(f"a {kind.__name__} is unfinished work: save what it gives, as list(it)")
    is_standard = value is sys.stdout or value is sys.stderr or value is sys.stdin
    if issubclass(kind, io.IOBase) and not issubclass(kind, (io.BytesIO, io.StringIO)) and not is_standard:
        raise Unsavable("an open file is a part of this process: save its path, and open it again")
    if kind is memoryview or kind in weakref.ProxyTypes:
        raise Unsavable(f"a {name_of(kind)} stands for another object, and would become a copy of it: save that one")
    if is_a(value, "numpy", "MaskedArray") and value.hardmask:  # type: ignore[attr-defined]
        raise Unsavable("numpy loses that a mask is hard: soften_mask() before, and harden_mask() where it is loaded")
    if issubclass(kind, ModuleType) and not _is_importable(value):
        raise Unsavable("a module that was made here cannot be imported again: run the cell that makes it again")


def _is_importable(module: Any) -> bool:
    """Return whether importing its name gives this module, in another session too."""
    name = getattr(module, "__name__", None)
    if not isinstance(name, str) or sys.modules.get(name, module) is not module:
        return False
    try:
        return name == "__main__" or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def has_cloudpickle() -> bool:
    """Return whether `cloudpickle` is installed."""
    try:
        importlib.import_module("cloudpickle")
    except ImportError:
        return False
    return True


def pickler(space: dict[str, Any], known: dict[int, str], contents: Contents) -> Any:
    """Return a class of picklers that note `contents`; `known` are variables that are saved already, by their ids."""
    base: Any = importlib.import_module("cloudpickle").Pickler if has_cloudpickle() else pickle.Pickler

    class Pickler(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            # cloudpickle's: what functions with these globals get as theirs.
            self.globals_ref = {id(space): _SessionGlobals(__name__="__main__")}

        def persistent_id(self, value: object) -> str | None:
            name = known.get(id(value))
            if name is not None:
                contents.holds.add(name)
            return name

        def reducer_override(self, value: Any) -> Any:
            contents.note(value)
            reduced = super().reducer_override(value) if base is not pickle.Pickler else NotImplemented
            if reduced is not NotImplemented:
                # What has a state is made again from its code; the rest is Python's own and has a name.
                contents.is_compiled |= issubclass(type(value), (FunctionType, type)) and len(reduced) > 2
                return reduced
            if repeats(value):
                return _repeated(value)
            kind: Any = type(value)
            if kind is _CACHED and getattr(value, "__module__", None) == "__main__":
                return cached, (value.__wrapped__, value.cache_parameters())
            if kind is FunctionType or issubclass(kind, type):
                return NotImplemented
            if kind in getattr(self, "dispatch_table", copyreg.dispatch_table):
                return NotImplemented
            if kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__:
                return NotImplemented
            # Called here, as the pickler would call it, to see whether it gives a name.
            reduced = value.__reduce_ex__(PROTOCOL)
            if isinstance(reduced, str) and pickle.whichmodule(value, reduced) == "__main__":  # type: ignore[attr-defined]
                raise Unsavable(
                    f"a {kind.__name__} is pickled as a name ({reduced}), which another session does not have: "
                    "run the cell that makes it again"
                )
            return reduced

        def _dynamic_function_reduce(self, function: FunctionType) -> Any:
            """Leave out the globals of a function of the session: it finds them in the session that it is loaded in."""
            reduced = super()._dynamic_function_reduce(function)
            if function.__globals__ is space:
                found = reduced[2][1]["__globals__"]
                contents.uses.update(found)
                found.clear()
            return reduced

    return Pickler


def load(file: Any, resolve: Callable[[str], object]) -> Any:
    """Return the value of a pickle; `resolve` returns another variable's."""
    unpickler = Unpickler(file)
    unpickler.persistent_load = resolve  # type: ignore[method-assign]
    return unpickler.load()


class Unpickler(pickle.Unpickler):
    """Finds classes of the standard library that are elsewhere in another version."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or a function by its name."""
        # Only 3.13 has paths there.
        return super().find_class("pathlib" if module == "pathlib._local" else module, name)


def cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Return a function that remembers its results, none so far; pickles name this function."""
    return functools.lru_cache(**parameters)(function)


def repeats(value: Any) -> bool:
    """Return whether it is an array of numpy that repeats a smaller one in its place, as `broadcast_to` makes one."""
    kind = type(value)
    return (module_of(kind), name_of(kind)) == ("numpy", "ndarray") and any(
        stride == 0 and size > 1 for stride, size in zip(value.strides, value.shape, strict=True)
    )


def _repeated(array: Any) -> Any:
    """Return how the pickle makes an array that repeats a smaller one from that."""
    held = array[tuple(slice(None if stride else 1) for stride in array.strides)]
    return sys.modules["numpy"].broadcast_to, (held, array.shape)


class _SessionGlobals(dict[str, Any]):
    """Stands for the session's namespace in a pickle."""

    def __reduce__(self) -> Any:
        return session_namespace, ()


def session_namespace() -> dict[str, Any]:
    """Return the namespace of this session; pickles name this function."""
    space: dict[str, Any] = sys.modules["__main__"].__dict__
    return space

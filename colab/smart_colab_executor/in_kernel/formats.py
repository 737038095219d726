"""How a value is written to a file and read again, by the format of its library.

Runs in the kernel, as `_smart_colab.formats`; standard library only, and what the user has imported. Frames of pandas
are pickled: of 28 kinds of frames, parquet (pandas 3.1, pyarrow 26) changes 8 (the frequency of an index, lists in a
column) and refuses 6 (mixed columns, the same name twice); pickle keeps all of them.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from . import pickles
from .classes import is_a, module_of, mro_of, name_of, root_of

if TYPE_CHECKING:
    from collections.abc import Callable

NPY, ARROW, TENSORS, TORCH, PICKLE = "npy", "arrow", "tensors", "torch", "pickle"
# Pickled: the array that it repeats, and the shape.
BROADCAST = "broadcast"
# All of one kind are written together, so that they still share what they share. Tensors are apart from models, whose
# classes may be those of the session, which only the same version of Python reads.
TOGETHER = (TENSORS, TORCH)
# Kinds of numpy's own types, all of whose arrays a `.npy` file holds exactly.
NPY_KINDS = "biufcSUmM"
MAX_LOOKED_AT = 10_000


def format_of(value: object) -> str:
    """Return the format for a value."""
    kind = type(value)
    if (module_of(kind), name_of(kind)) == ("numpy", "ndarray"):
        dtype: Any = value.dtype  # type: ignore[attr-defined]
        is_exact = dtype.kind in NPY_KINDS and dtype.type.__module__ == "numpy" and dtype.metadata is None
        if not is_exact:
            return PICKLE
        return BROADCAST if pickles.repeats(value) else NPY
    if root_of(kind) == "polars" and name_of(kind) in ("DataFrame", "Series"):
        return ARROW if _are_plain(value) else PICKLE
    parts = _parts(value)
    if any(map(_is_torch, parts)):
        return TENSORS if all(map(_is_plain_tensor, parts)) else TORCH
    return PICKLE


def rank(value: object, kind: str) -> int:
    """Return the place of a value in the order of saving: it may refer to earlier ones only."""
    if kind != PICKLE or is_a(value, "pandas", "NDFrame"):
        return 0
    return 1 if issubclass(type(value), (FunctionType, type)) else 2


def write(kind: str, value: Any, file: Any, pickler: Any) -> None:
    """Write a value; a dictionary of several for those that are written together."""
    if kind == NPY:
        sys.modules["numpy"].lib.format.write_array(file, value, allow_pickle=False)
    elif kind == ARROW:
        frame = value if name_of(type(value)) == "DataFrame" else value.to_frame()
        frame.write_ipc(file)
    elif kind in TOGETHER:
        module: Any = ModuleType("pickle")
        module.Pickler = pickler
        sys.modules["torch"].save(value, file, pickle_module=module, pickle_protocol=pickles.PROTOCOL)
    else:
        pickler(file, protocol=pickles.PROTOCOL).dump(value)


def read(kind: str, type_name: str, file: Any, resolve: Callable[[str], object]) -> Any:
    """Return the value in a file."""
    if kind == NPY:
        return import_module("numpy").lib.format.read_array(file, allow_pickle=False)
    if kind == ARROW:
        frame = import_module("polars").read_ipc(file)
        return frame if type_name == "DataFrame" else frame.to_series()
    if kind in TOGETHER:
        torch, module = import_module("torch"), ModuleType("pickle")  # type: Any, Any
        module.Unpickler = pickles.Unpickler
        place = None if torch.cuda.is_available() else "cpu"
        return torch.load(file, map_location=place, pickle_module=module, weights_only=False)
    return pickles.load(file, resolve)


def columns(value: Any) -> str:
    """Return the types of the columns of a frame or a series of polars, without what versions write differently."""
    kinds = value.dtypes if name_of(type(value)) == "DataFrame" else [value.dtype]
    return ", ".join(" ".join(re.findall(r"\b[A-Z]\w*", str(kind))) for kind in kinds)


def is_read_only(value: object) -> bool:
    """Return whether it is an array of numpy that refuses to be written to, which its formats forget."""
    if not is_a(value, "numpy", "ndarray"):
        return False
    return not sys.modules["numpy"].ndarray.flags.__get__(value).writeable


def owner(value: Any) -> int:
    """Return the id of the array whose memory an array uses."""
    array = sys.modules["numpy"].ndarray
    while isinstance(value.base, array):
        value = value.base
    return id(value)


def _are_plain(value: Any) -> bool:
    """Return whether Arrow holds all columns of a frame or a series."""
    polars: Any = sys.modules["polars"]
    kinds = value.dtypes if name_of(type(value)) == "DataFrame" else [value.dtype]
    return polars.Object not in kinds


def _parts(value: Any) -> list[Any]:
    """Return the value, or the parts of a container, as a `state_dict` is one."""
    # Not by the methods of the session's own containers.
    for kind in (dict, list, tuple):
        if issubclass(type(value), kind) and kind.__len__(value) <= MAX_LOOKED_AT:
            return list(dict.values(value) if kind is dict else kind.__iter__(value))
    return [value]


def _is_torch(value: object) -> bool:
    return not issubclass(type(value), type) and any(root_of(base) == "torch" for base in mro_of(type(value)))


def _is_plain_tensor(value: object) -> bool:
    """Return whether it is a tensor and no parameter of a model."""
    return is_a(value, "torch", "Tensor") and not is_a(value, "torch", "Parameter")

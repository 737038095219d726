"""Shape, size and location of libraries' values, found without computing or reading anything.

Runs in the kernel, as `_smart_colab.facts`; standard library only. A property of a lazy table may read its file, its
length may take hours to compute, and `hasattr` may run a proxy's code: only what is listed here is accessed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from .classes import attributes_of, is_a, module_of, mro_of, name_of, root_of, slots_of

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COLUMNS = 20
# How many parts of containers and objects a listing may inspect to estimate their size: in total, of one variable
# however many there are, and of one container at the top, which shrinks to the least with its depth.
MAX_INSPECTED = 20_000
MIN_INSPECTED = 16
MAX_SAMPLE = 500
MIN_SAMPLE = 8
MAX_NESTING = 12
MAX_SECONDS = 0.2

LISTS: tuple[type, ...] = (list, tuple, set, frozenset, deque)
DICTS: tuple[type, ...] = (dict, OrderedDict, defaultdict, Counter)
TEXTS: tuple[type, ...] = (str, bytes, bytearray)
CONTAINERS = frozenset((*LISTS, *DICTS))
SIZED = (*LISTS, *DICTS, *TEXTS, range, memoryview, type({}.keys()), type({}.values()), type({}.items()))

LAZY = "lazy: not computed"
CLOSED = "closed"

Facts = dict[str, Any]
"""Some of `shape`, `dtype`, `device`, `columns`, `length`, `bytes` (in memory) and `note`."""


class Measure:
    """Inspects the values of one listing, with a budget for all of them that each has an equal share of."""

    def __init__(self, variables: int = 1) -> None:
        self._share = max(MAX_INSPECTED // max(variables, 1), MIN_INSPECTED)
        self._until = time.monotonic() + MAX_SECONDS
        self.begin()

    def begin(self) -> None:
        """Begin with the next variable."""
        self._room = self._share
        self._seen: set[int] = set()

    def facts(self, value: object) -> Facts:
        """Return the facts about a value; a note if inspecting it failed."""
        kind = type(value)
        try:
            if kind in SIZED:
                return {"length": _length(value), "bytes": self.size(value)}
            if (look := _find(kind)) is not None:
                return look(self, value)
            if module_of(kind) == "builtins":
                return {"bytes": sys.getsizeof(value)}
            return {"bytes": self.size(value)} if _container_of(kind) or _attributes(value) else {}
        except Exception as error:  # noqa: BLE001, RUF100 - half initialized, or changed by running code
            return {"note": f"cannot be inspected: {type(error).__name__}"}

    def size(self, value: object, depth: int = 0) -> int:
        """Return a value's memory in bytes with what it holds, partly estimated; 0 if unknown or already counted."""
        kind = type(value)
        if kind not in CONTAINERS and module_of(kind) == "builtins":
            return sys.getsizeof(value)
        if id(value) in self._seen:
            return 0
        self._seen.add(id(value))
        if kind in CONTAINERS:
            return sys.getsizeof(value) + self._inner_size(kind, value, depth)
        try:
            if (look := _find(kind)) is not None:
                return int(look(self, value).get("bytes") or 0)
            return self._object_size(value, depth)
        except Exception:  # noqa: BLE001, RUF100
            return 0

    def _object_size(self, value: object, depth: int) -> int:
        """Return the memory of any other object, with its attributes and, of a container, its elements."""
        base: Any = _container_of(type(value)) or object
        size: int = base.__sizeof__(value)
        if base is not object:
            size += self._inner_size(base, value, depth)
        if self._may_look(depth):
            attributes = _attributes(value)[: self._room]
            self._room -= len(attributes)
            size += sum(self.size(part, depth + 1) for part in attributes)
        return size

    def _may_look(self, depth: int) -> bool:
        return depth < MAX_NESTING and self._room > 0 and time.monotonic() < self._until

    def _inner_size(self, kind: Any, container: Any, depth: int) -> int:
        """Estimate the memory of a container's elements; `kind` is its built-in class."""
        count = kind.__len__(container)
        if not count or not self._may_look(depth):
            return 0
        sample = min(count, max(MAX_SAMPLE >> 2 * depth, MIN_SAMPLE), self._room)
        # Copied in one step: the container may be in use.
        if kind in (list, tuple):
            parts = list(kind.__getitem__(container, slice(None, None, max(1, count // sample))))[:sample]
        elif kind in DICTS:
            parts = [part for pair in list(islice(dict.items(container), sample)) for part in pair]
        else:
            parts = list(islice(kind.__iter__(container), sample))
        return self.sampled(parts, count * (2 if kind in DICTS else 1), depth)

    def sampled(self, parts: list[Any], count: int, depth: int = 0) -> int:
        """Return the memory of `count` values, estimated from some of them; repeated objects count once."""
        self._room -= len(parts)
        distinct = {id(part): part for part in parts}
        total = sum(self.size(part, depth + 1) for part in distinct.values())
        # If the sample repeats objects, so does the rest, presumably.
        return total * count // len(parts) if len(distinct) * 2 > len(parts) else total


def _container_of(kind: type) -> type | None:
    """Return the built-in container that a class derives from."""
    return next((base for base in mro_of(kind) if base in CONTAINERS), None)


def _attributes(value: object) -> list[object]:
    return [*list(attributes_of(value).values()), *slots_of(value)]


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except OverflowError:  # a huge range
        return None


def format_bytes(size: float) -> str:
    """Format a number of bytes in a readable unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


# --- libraries --------------------------------------------------------------------------------------------------------


def _ndarray(measure: Measure, value: Any) -> Facts:
    array = sys.modules["numpy"].ndarray
    value = array.view(value, array)  # a subclass creates slices by its own code
    facts: Facts = {"shape": value.shape, "dtype": value.dtype}
    size = value.nbytes
    if facts["shape"]:
        facts["length"] = facts["shape"][0]
    owner, base = value, value.base
    while isinstance(base, array):
        owner, base = base, array.base.__get__(base)
    if module_of(type(base)) == "mmap":
        return {**facts, "note": f"mapped from a file, {format_bytes(size)}"}
    # A broadcast array holds repeated values once.
    once = facts["dtype"].itemsize
    for count, stride in zip(facts["shape"], value.strides, strict=True):
        once *= count if stride else min(count, 1)
    facts["bytes"] = min(size, once, array.nbytes.__get__(owner))
    if facts["dtype"].kind == "O" and value.size:
        sample = value.flat[:: max(1, value.size // MAX_SAMPLE)][:MAX_SAMPLE].tolist()
        facts["bytes"] += measure.sampled(sample, value.size)
    return facts


def _pandas_values(measure: Measure, values: Any) -> int:
    """Return the bytes of one of pandas' arrays; some contain an array of Python objects."""
    if module_of(type(values)) == "__main__":
        return 0
    if is_a(values, "pandas", "Categorical"):
        return int(values.codes.nbytes + _index(measure, values.categories)["bytes"])
    inner = getattr(values, "_ndarray", values)
    if _find(type(inner)) is _ndarray:
        return int(_ndarray(measure, inner).get("bytes") or 0)
    return int(values.nbytes)


def _index(measure: Measure, value: Any) -> Facts:
    facts = {"shape": (len(value),), "length": len(value), "dtype": value.dtype}
    data = attributes_of(value).get("_data")  # not `_values`, which a range would create
    return {**facts, "bytes": int(value.nbytes) if data is None else _pandas_values(measure, data)}


def _pandas(measure: Measure, value: Any) -> Facts:
    manager = attributes_of(value)["_mgr"]  # a user's subclass does not override it
    *columns, index = manager.axes
    size = sum(_pandas_values(measure, block.values) for block in manager.blocks)
    facts = _columns(columns[0]) if columns else {"dtype": manager.blocks[0].values.dtype}
    shape = (len(index), *map(len, columns))
    return {**facts, "shape": shape, "length": shape[0], "bytes": size + _index(measure, index)["bytes"]}


def _pandas_array(measure: Measure, value: Any) -> Facts:
    return {"shape": (len(value),), "length": len(value), "dtype": value.dtype, "bytes": _pandas_values(measure, value)}


def _polars(_: Measure, value: Any) -> Facts:
    shape = value.shape
    facts = _columns(value.columns) if len(shape) == 2 else {"dtype": value.dtype}
    return {"shape": shape, "length": shape[0], "bytes": value.estimated_size(), **facts}


def _arrow(_: Measure, value: Any) -> Facts:
    facts: Facts = {"length": len(value), "bytes": value.nbytes}
    if hasattr(type(value), "column_names"):
        return {"shape": value.shape, **facts, **_columns(value.column_names)}
    return {**facts, "dtype": value.type}


def _tensor(_: Measure, value: Any) -> Facts:
    facts = {"shape": tuple(value.shape), "dtype": value.dtype, "device": value.device}
    if facts["shape"]:
        facts["length"] = facts["shape"][0]
    size = value.nbytes
    if str(facts["device"]) == "meta":
        return {**facts, "bytes": 0, "note": "no data"}
    if str(value.layout) == "torch.strided" and hasattr(type(value), "untyped_storage"):
        size = min(size, value.untyped_storage().nbytes())  # an expanded tensor holds repeated values once
    return {**facts, "bytes": int(size)}


def _device_array(_: Measure, value: Any) -> Facts:
    shape = tuple(value.shape)
    facts = {"shape": shape, "length": shape[0] if shape else None, "bytes": getattr(value, "nbytes", None)}
    device = value.device  # a method in older versions of jax
    return {**facts, "dtype": value.dtype, "device": None if callable(device) else device}


def _sparse(measure: Measure, value: Any) -> Facts:
    parts = attributes_of(value)
    size = sum(measure.size(part) for part in parts.values())
    return {"shape": parts.get("_shape"), "dtype": value.dtype, "bytes": size or None}


def _hdf5(_: Measure, value: Any) -> Facts:
    lock = sys.modules["h5py"]._objects.phil
    if not lock.acquire(False):  # another thread is reading or writing, and waiting would block our answers
        return {"note": "in use"}
    try:
        if not value.id.valid:
            return {"note": CLOSED}
        if not is_a(value, "h5py", "Dataset"):
            return {"note": "on disk"}
        size = value.id.get_type().get_size() * int(value.id.get_space().get_simple_extent_npoints())
        return {"shape": value.shape, "dtype": value.dtype, "note": f"on disk, {format_bytes(size)}"}
    finally:
        lock.release()


def _zarr(_: Measure, value: Any) -> Facts:
    parts = attributes_of(value)  # an older version's properties may read the store
    metadata = parts["_async_array"].metadata if "_async_array" in parts else None
    shape = metadata.shape if metadata else parts["_shape"]
    dtype = value.dtype if metadata else parts["_dtype"]
    size = dtype.itemsize
    for count in shape:
        size *= count
    return {"shape": shape, "dtype": dtype, "note": f"in its store, {format_bytes(size)}"}


def _dask_array(_: Measure, value: Any) -> Facts:
    return {"shape": value.shape, "dtype": value.dtype, "note": LAZY}


def _xarray_data(measure: Measure, variable: Any) -> Facts:
    """Return a variable's facts, with its bytes if it is in memory."""
    data = inner = variable._data
    # Lazy arrays are wrapped, and so are those already read.
    for _ in range(8):
        if root_of(type(inner)) != "xarray" or not hasattr(inner, "array"):
            break
        inner = inner.array
    facts = {"shape": tuple(data.shape), "dtype": data.dtype}
    is_here = (look := _find(type(inner))) in (_ndarray, _index)
    return {**facts, **({"bytes": look(measure, inner).get("bytes")} if look and is_here else {"note": LAZY})}


def _xarray(measure: Measure, value: Any) -> Facts:
    if is_a(value, "xarray", "Dataset"):
        parts = {name: _xarray_data(measure, variable) for name, variable in list(value._variables.items())}
        lazy = {"note": LAZY} if any("note" in part for part in parts.values()) else {}
        return {**_columns(list(parts)), "bytes": sum(part.get("bytes") or 0 for part in parts.values()), **lazy}
    return _xarray_data(measure, value._variable if is_a(value, "xarray", "DataArray") else value)


def _array(_: Measure, value: Any) -> Facts:
    return {"length": len(value), "dtype": value.typecode, "bytes": len(value) * value.itemsize}


def _mapped(_: Measure, value: Any) -> Facts:
    return {"note": "mapped memory"}


def _huggingface(_: Measure, value: Any) -> Facts:
    return {"shape": value.shape, **_columns(value.column_names), "note": "mapped from files"}


def _lazy(_: Measure, value: Any) -> Facts:
    return {"note": LAZY}


def _columns(columns: Any) -> Facts:
    return {"columns": list(columns[:MAX_COLUMNS])}


# By the package and the class's name.
_LOOKS: dict[tuple[str, str], Callable[[Measure, Any], Facts]] = {
    ("numpy", "ndarray"): _ndarray,
    ("pandas", "DataFrame"): _pandas,
    ("pandas", "Series"): _pandas,
    ("pandas", "Index"): _index,
    ("pandas", "ExtensionArray"): _pandas_array,
    ("polars", "DataFrame"): _polars,
    ("polars", "Series"): _polars,
    ("polars", "LazyFrame"): _lazy,
    ("polars", "LazyGroupBy"): _lazy,
    ("pyarrow", "_Tabular"): _arrow,
    ("pyarrow", "Array"): _arrow,
    ("pyarrow", "ChunkedArray"): _arrow,
    ("pyarrow", "Dataset"): _lazy,
    ("pyarrow", "Scanner"): _lazy,
    ("pyarrow", "RecordBatchReader"): _lazy,
    ("torch", "Tensor"): _tensor,
    ("jaxlib", "ArrayImpl"): _device_array,
    ("jax", "ArrayImpl"): _device_array,
    ("cupy", "ndarray"): _device_array,
    ("tensorflow", "EagerTensor"): _device_array,
    ("scipy", "_spbase"): _sparse,
    ("h5py", "HLObject"): _hdf5,
    ("zarr", "Array"): _zarr,
    ("dask", "Array"): _dask_array,
    ("dask", "DaskMethodsMixin"): _lazy,
    ("xarray", "DataArray"): _xarray,
    ("xarray", "Dataset"): _xarray,
    ("xarray", "Variable"): _xarray,
    ("duckdb", "DuckDBPyRelation"): _lazy,
    ("pyspark", "DataFrame"): _lazy,
    ("ibis", "Expr"): _lazy,
    ("datasets", "Dataset"): _huggingface,
    ("array", "array"): _array,
    ("mmap", "mmap"): _mapped,
}


def _find(kind: type) -> Callable[[Measure, Any], Facts] | None:
    """Return the function that inspects values of this class, if there is one."""
    for base in mro_of(kind):
        look = _LOOKS.get((root_of(base), name_of(base)))
        if look is not None:
            # A user's subclass could answer the others by its own code.
            is_safe = look in (_ndarray, _pandas, _lazy) or module_of(kind) != "__main__"
            return look if is_safe else None
    return None

"""Listings of variables: nothing is computed or read, and no user code runs."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import mmap
import sys
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_colab_executor.in_kernel.short_repr import MAX_CHARS
from smart_colab_executor.in_kernel.variables import listing

HUGE = 10**5000
HUGE_TEXT = "<int of about 5,001 digits>"


def row(value: object) -> dict[str, Any]:
    [found] = listing({"it": value})["variables"]
    return found  # type: ignore[no-any-return]


def users(name: str, *bases: type, **members: Any) -> type:
    """Create a class like one of the user's."""
    return types.new_class(name, bases, {}, lambda space: space.update(members, __module__="__main__"))


def forbidden(*_: object, **__: object) -> Any:
    raise AssertionError("it was asked")


def librarys(module: str, name: str, *bases: type, **members: Any) -> type:
    """Create a class like one of a library, whose other members must not be accessed."""
    properties = dict.fromkeys(("shape", "dtype", "device", "columns", "nbytes", "schema"), property(forbidden))
    methods = dict.fromkeys(("__len__", "__getattr__", "__repr__", "__iter__", "__bool__", "__eq__"), forbidden)
    made = {**properties, **methods, "__hash__": object.__hash__, **members, "__module__": module}
    return types.new_class(name, bases, {}, lambda space: space.update(made))


class TestBuiltins:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (HUGE, HUGE_TEXT),
            (-HUGE, "<negative int of about 5,001 digits>"),
            ([HUGE], f"[{HUGE_TEXT}]"),
            ((HUGE,), f"({HUGE_TEXT},)"),
            ({HUGE}, f"{{{HUGE_TEXT}}}"),
            ({"a": HUGE, HUGE: 1}, f"{{'a': {HUGE_TEXT}, {HUGE_TEXT}: 1}}"),
            ([[1, {"a": (HUGE,)}]], "[[1, {'a': (…,)}]]"),
            (collections.deque([HUGE]), f"deque([{HUGE_TEXT}])"),
            (collections.OrderedDict(a=HUGE), f"OrderedDict({{'a': {HUGE_TEXT}}})"),
            (collections.Counter({"a": HUGE}), f"Counter({{'a': {HUGE_TEXT}}})"),
            (range(HUGE), f"range(0, {HUGE_TEXT}, 1)"),
            (slice(HUGE), f"slice(None, {HUGE_TEXT}, None)"),
            (fractions.Fraction(HUGE, 3), f"Fraction({HUGE_TEXT}, 3)"),
            (ValueError("a", HUGE), f"ValueError('a', {HUGE_TEXT})"),
            (2**600, repr(2**600)),
            (True, "True"),
            (None, "None"),
            ([], "[]"),
            (set(), "set()"),
            (frozenset({1}), "frozenset({1})"),
            (bytearray(b"a"), "bytearray(b'a')"),
            (list(range(11)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]"),
            (decimal.Decimal("1.5"), "Decimal('1.5')"),
            (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
            (Path("x"), f"{type(Path('x')).__name__}('x')"),
            ("\ud83d", "'\\ud83d'"),
        ],
        ids=lambda part: part if type(part) is str and part.isprintable() else "",
    )
    def test_builtin_values_have_a_short_repr(self, value: object, shown: str) -> None:
        assert row(value)["repr"] == shown

    def test_the_limit_on_int_digits_does_not_matter(self) -> None:
        limit = sys.get_int_max_str_digits()
        try:
            for digits in (640, 0):
                sys.set_int_max_str_digits(digits)
                assert row([10**700])["repr"] == "[<int of about 701 digits>]"
        finally:
            sys.set_int_max_str_digits(limit)

    def test_special_values_are_named_without_being_used(self, tmp_path: Path) -> None:
        with (tmp_path / "file").open("w") as file:
            values: list[object] = [file, (part for part in "a"), {"a": 1}.keys(), memoryview(b"")]
            shown = [row(value)["repr"] for value in values]
        assert row(file)["repr"] == shown[0] == "<TextIOWrapper>"
        assert shown[1].startswith("<generator object")
        released = memoryview(b"")
        released.release()
        assert row(released)["repr"].startswith("<memoryview")
        assert "" not in shown

    def test_a_self_containing_container_terminates(self) -> None:
        deep: list[object] = []
        deep.append(deep)
        assert row(deep)["repr"] == "[[[[…]]]]"

    def test_containers_include_the_size_of_their_elements(self) -> None:
        texts = [str(number) * 250 for number in range(1000, 2000)]
        assert 1_000_000 <= row(texts)["bytes"] <= 1_200_000
        assert 1_000_000 <= row(dict(enumerate(texts)))["bytes"] <= 1_300_000
        assert 3_000_000 <= row([[text] * 3 + texts[:1] for text in texts * 3])["bytes"] <= 9_000_000
        text = "x" * 1_000_000
        assert row([text] * 100_000)["bytes"] < 3_000_000, "what is there several times counts once"
        assert row([1, 2])["length"] == 2

    def test_what_objects_and_containers_hold_counts_at_any_depth(self) -> None:
        array = np.ones(1_000_000)
        held = users("Held", __slots__=("data",))()
        held.data = array
        owner = users("Owner")()
        owner.parts = {"a": [(held,)]}
        pair = users("Pair", tuple)([array, None])
        own = users("Own", list, __iter__=forbidden, __len__=forbidden, __sizeof__=forbidden)([array])
        for value in (held, owner, [owner], {"a": {"b": [owner]}}, pair, own, [own]):
            assert 8_000_000 <= row(value)["bytes"] <= 8_010_000, value

    def test_what_is_held_twice_or_holds_itself_counts_once(self) -> None:
        array = np.ones(1_000_000)
        owner = users("Owner")()
        owner.parts, owner.again, owner.me = [array, array], array, owner
        assert 8_000_000 <= row(owner)["bytes"] <= 8_010_000

    def test_a_large_container_is_estimated_however_many_others_there_are(self) -> None:
        values: dict[str, object] = {f"a{number}": [[str(part)] * 3 for part in range(1000)] for number in range(600)}
        values["last"] = [np.ones(1_000_000) for _ in range(4)]
        first = listing(values)["variables"][0]
        assert (first["name"], first["bytes"] // 1_000_000) == ("last", 32)

    def test_the_largest_come_first_and_a_pattern_selects(self) -> None:
        values = {"small": 1, "df_a": b"x" * 1000, "df_b": b"x" * 2000, "other": b"x" * 500}
        assert [one["name"] for one in listing(values)["variables"]] == ["df_b", "df_a", "other", "small"]
        chosen = listing(values, "df_*")
        assert ([one["name"] for one in chosen["variables"]], chosen["total"]) == (["df_b", "df_a"], 2)
        assert listing(values, "DF_*")["total"] == listing(values, "df")["total"] == 0

    def test_after_its_time_a_listing_inspects_no_contents(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("smart_colab_executor.in_kernel.facts.MAX_SECONDS", 0.0)
        found = listing({"a": [np.ones(1000)], "b": np.ones(1000)})["variables"]
        assert [(one["name"], one["bytes"] < 200) for one in found] == [("b", False), ("a", True)]

    def test_a_large_listing_inspects_few_values(self) -> None:
        """Count the measured values, since time says little on a busy machine."""
        values = {f"v{number}": [[str(part)] * 3 for part in range(1000)] for number in range(600)}
        sizes = 0

        def count(*_: object) -> int:
            nonlocal sizes
            sizes += 1
            return 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "smart_colab_executor.in_kernel.facts.sys", types.SimpleNamespace(getsizeof=count, modules=sys.modules)
            )
            found = listing(values)
        assert (len(found["variables"]), found["total"]) == (500, 600)
        assert sizes < 30_000


class TestUsersOwn:
    def test_no_user_code_is_called(self) -> None:
        names = ("__repr__", "__len__", "__getattr__", "__getattribute__", "__sizeof__", "__eq__", "__lt__", "__iter__")
        code = dict.fromkeys(names, forbidden)
        meta = users(
            "Meta", type, __getattribute__=forbidden, __instancecheck__=forbidden, __name__=property(forbidden)
        )
        trap = types.new_class(
            "Trap",
            (),
            {"metaclass": meta},
            lambda space: space.update(
                code, __hash__=object.__hash__, __module__="__main__", shape=property(forbidden)
            ),
        )()
        object.__setattr__(trap, "size", 3)
        assert row(trap)["repr"] == "<Trap size=3>"
        holders: list[object] = [[trap], (trap,), {"a": trap}, {trap: 1}, {trap, 1}, collections.deque([trap])]
        holders += [slice(trap), ValueError(trap)]
        for value in holders:
            assert "<Trap" in row(value)["repr"], type(value)
        proxies: list[object] = [types.MappingProxyType({"a": trap}), weakref.proxy(trap)]
        assert all(row(value)["repr"].startswith("<") for value in proxies)
        bound = types.MethodType(lambda _: None, trap)
        assert row(bound)["repr"] == "<method>"
        zone = users("Zone", datetime.tzinfo, utcoffset=forbidden, __repr__=forbidden)()
        assert row(datetime.datetime(2026, 1, 1, tzinfo=zone))["repr"] == "<datetime>"

    def test_subclasses_of_containers_are_shown_by_their_elements(self) -> None:
        cases: list[tuple[type, Any, str]] = [
            (list, [1], "Own([1])"),
            (dict, {"a": 1}, "Own({'a': 1})"),
            (tuple, (1,), "Own((1,))"),
            (str, "a", "Own('a')"),
            (int, 5, "Own(5)"),
            (int, HUGE, f"Own({HUGE_TEXT})"),
            (collections.OrderedDict, {"a": 1}, "Own({'a': 1})"),
        ]
        for base, value, shown in cases:
            own = users("Own", base, __repr__=forbidden, __len__=forbidden, __iter__=forbidden, __index__=forbidden)
            assert row(own(value))["repr"] == shown

    def test_odd_names_do_not_break_the_listing(self) -> None:
        nowhere = type("Nowhere", (), {"__module__": None})()
        found = listing({"a\ud800": nowhere, "b": 1})["variables"]
        assert [entry["name"] for entry in found] == ["b", "a?"]
        assert found[1]["repr"] == "<Nowhere>"


class TestNumpy:
    def test_an_array_has_its_facts(self) -> None:
        shown = row(np.zeros((10, 3)))
        assert shown == {
            "name": "it",
            "type": "ndarray",
            "shape": [10, 3],
            "length": 10,
            "bytes": 240,
            "repr": "<ndarray shape=(10, 3), dtype=float64>",
        }
        assert row(np.array(5))["shape"] == []
        assert row(np.float64(1.5))["repr"] == repr(np.float64(1.5))
        assert row(np.str_("a"))["repr"] == "str_('a')"

    def test_a_mapped_array_counts_no_memory(self, tmp_path: Path) -> None:
        mapped: Any = np.memmap(tmp_path / "map", dtype="u1", mode="w+", shape=(3, 1024, 1024))
        with mmap.mmap(-1, 4096) as memory:
            for value, shape in [(mapped, [3, 1024, 1024]), (np.asarray(mapped)[1:], [2, 1024, 1024])]:
                shown = row(value)
                assert (shown["shape"], shown["bytes"]) == (shape, None)
                assert "mapped from a file, " in shown["repr"]
                assert "MiB" in shown["repr"]
            assert row([mapped])["bytes"] < 1000
            assert row(memory)["bytes"] is None

    def test_a_broadcast_array_counts_its_data_once(self) -> None:
        assert row(np.broadcast_to(np.arange(3.0), (10**9, 3)))["bytes"] == 24
        assert row(np.lib.stride_tricks.sliding_window_view(np.zeros(1000), 500))["bytes"] <= 8 * 501 * 500
        assert row(np.zeros(1000)[::2])["bytes"] == 4000

    def test_an_object_array_includes_its_objects(self) -> None:
        texts = np.array([str(number) * 250 for number in range(1000, 2000)], dtype=object)
        assert 1_000_000 <= row(texts)["bytes"] <= 1_200_000

    def test_a_users_array_subclass_is_inspected_without_its_code(self) -> None:
        own = users("Own", np.ndarray, shape=property(forbidden), nbytes=property(forbidden), __len__=forbidden)
        value: Any = np.zeros((2, 3)).view(own)
        own.__array_finalize__ = forbidden  # type: ignore[attr-defined]
        shown = row(value)
        assert (shown["type"], shown["shape"], shown["bytes"]) == ("Own", [2, 3], 48)


class TestLazy:
    @pytest.mark.parametrize(
        ("module", "name"),
        [
            ("polars.lazyframe.frame", "LazyFrame"),
            ("polars.lazyframe.group_by", "LazyGroupBy"),
            ("pyarrow._dataset", "Dataset"),
            ("pyarrow._dataset", "Scanner"),
            ("pyarrow.lib", "RecordBatchReader"),
            ("duckdb._relation", "DuckDBPyRelation"),
            ("_duckdb", "DuckDBPyRelation"),
            ("dask.base", "DaskMethodsMixin"),
            ("pyspark.sql.dataframe", "DataFrame"),
        ],
    )
    def test_lazy_values_are_not_evaluated(self, module: str, name: str) -> None:
        kind = librarys(module, name)
        for value in (kind(), librarys(module, "Special", kind)(), users("Own", kind)()):
            shown = row(value)
            assert "lazy: not computed" in shown["repr"]
            assert (shown["shape"], shown["length"], shown["bytes"]) == (None, None, None)
        assert row([kind()])["repr"] == f"[<{name} lazy: not computed>]"

    def test_values_of_unknown_classes_are_only_named(self) -> None:
        shown = row(librarys("somelibrary.tables", "Remote")())
        assert shown["repr"] == "<Remote>"
        assert (shown["shape"], shown["length"], shown["bytes"]) == (None, None, None)

    def test_a_chunked_array_reports_its_location(self) -> None:
        metadata = types.SimpleNamespace(shape=(10**6, 10**6))
        value = librarys("zarr.core.array", "Array", dtype=np.dtype("f8"))()
        value.__dict__["_async_array"] = types.SimpleNamespace(metadata=metadata)
        old = librarys("zarr.core", "Array")()
        old.__dict__.update(_shape=(10**6, 10**6), _dtype=np.dtype("f8"))
        for array in (value, old):
            shown = row(array)
            assert (shown["shape"], shown["bytes"]) == ([10**6, 10**6], None)
            assert shown["repr"] == "<Array shape=(1000000, 1000000), dtype=float64, in its store, 7.3 TiB>"

    def test_an_array_of_unknown_size_has_no_shape(self) -> None:
        value: Any = librarys("dask.array.core", "Array", shape=(float("nan"), 3), dtype="f8")()
        assert row(value)["shape"] is None
        assert row(value)["repr"] == "<Array shape=(nan, 3), dtype=f8, lazy: not computed>"

    def test_a_tensor_without_data_holds_no_memory(self) -> None:
        known = {"shape": (1000, 1000), "dtype": "torch.float32", "layout": "torch.strided", "nbytes": 4_000_000}
        meta = librarys("torch", "Tensor", device="meta", **known)()
        assert row(meta)["bytes"] == 0
        assert "device=meta, no data" in row(meta)["repr"]
        storage = types.SimpleNamespace(nbytes=lambda: 4)
        expanded = librarys("torch", "Tensor", device="cpu", untyped_storage=lambda _: storage, **known)()
        assert row(expanded)["bytes"] == 4

    def test_a_failed_inspection_is_reported(self) -> None:
        shown = row(librarys("polars.dataframe.frame", "DataFrame")())
        assert shown["repr"] == "<DataFrame cannot be inspected: AssertionError>"


class TestRealLibraries:
    """Tests with the real libraries, if installed."""

    def test_hdf5_values_are_listed(self, tmp_path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "file", "w") as file:
            data = file.create_dataset("data", shape=(1024, 1024), dtype="f4")
            assert (row(data)["shape"], row(data)["bytes"]) == ([1024, 1024], None)
            assert row(data)["repr"] == "<Dataset shape=(1024, 1024), dtype=float32, on disk, 4.0 MiB>"
        assert row(data)["repr"] == "<Dataset closed>"
        assert row(file)["repr"] == "<File closed>"

    def test_pandas_values_are_listed(self) -> None:
        pandas = pytest.importorskip("pandas")
        texts = [str(number) * 250 for number in range(1000, 2000)]
        for kind in ("object", "str", pandas.StringDtype("python"), "category"):
            for value in (pandas.Series(texts, dtype=kind), pandas.DataFrame({"a": pandas.Series(texts, dtype=kind)})):
                assert 1_000_000 <= row(value)["bytes"] <= 1_300_000, kind
        frame = pandas.DataFrame({"device": [1, 2], 5: ["x", "y"]})
        assert row(frame)["repr"] == "<DataFrame shape=(2, 2), columns=device, 5>"
        assert row(pandas.RangeIndex(10**9))["bytes"] < 1000
        assert row(pandas.MultiIndex.from_tuples([(1, 2)]))["shape"] == [1]
        assert row(frame.groupby("device"))["repr"] == "<DataFrameGroupBy>"
        own = users("Own", pandas.DataFrame, shape=property(forbidden), columns=property(forbidden))
        assert row(own({"a": [1]}))["shape"] == [1, 1]

    def test_polars_values_are_listed(self, tmp_path: Path) -> None:
        polars = pytest.importorskip("polars")
        assert row(polars.scan_csv(tmp_path / "missing.csv"))["repr"] == "<LazyFrame lazy: not computed>"
        frame = polars.DataFrame({"a": ["x" * 1000] * 10})
        assert (row(frame)["shape"], row(frame)["repr"]) == ([10, 1], "<DataFrame shape=(10, 1), columns=a>")
        assert row(frame)["bytes"] >= 10_000

    def test_xarray_values_are_listed(self, tmp_path: Path) -> None:
        xarray = pytest.importorskip("xarray")
        pytest.importorskip("zarr")
        made = xarray.Dataset({"shape": ("x", np.zeros(1000))})
        assert (row(made)["bytes"], row(made)["repr"]) == (8000, "<Dataset columns=shape>")
        made.to_zarr(tmp_path / "store", zarr_format=2)
        opened = xarray.open_zarr(tmp_path / "store", chunks=None)
        assert (row(opened)["bytes"], row(opened)["repr"]) == (0, "<Dataset columns=shape, lazy: not computed>")
        assert row(opened["shape"])["repr"] == "<DataArray shape=(1000,), dtype=float64, lazy: not computed>"
        assert row(opened["shape"].load())["bytes"] == 8000

    def test_values_of_other_libraries_are_listed(self, tmp_path: Path) -> None:
        dask_array = pytest.importorskip("dask.array")
        zarr = pytest.importorskip("zarr")
        duckdb = pytest.importorskip("duckdb")
        assert row(dask_array.zeros((10**6, 10**6)))["bytes"] is None
        stored = zarr.create_array(tmp_path / "z", shape=(10**6, 10**6), dtype="f8", chunks=(1000, 1000))
        assert (row(stored)["bytes"], "7.3 TiB" in row(stored)["repr"]) == (None, True)
        relation = duckdb.sql("select range from range(1000000000000)")
        assert row(relation)["repr"] == "<DuckDBPyRelation lazy: not computed>"


def test_every_repr_is_short() -> None:
    values: list[Any] = ["x" * 1_000_000, ["x" * 1000] * 1000, dict.fromkeys(range(1000), "x" * 1000), b"x" * 10**6]
    for value in values:
        shown = row(value)
        assert len(shown["repr"]) <= MAX_CHARS
        assert shown["length"] == len(value)
    assert len(row(types.new_class("N" * 1000)())["repr"]) <= MAX_CHARS

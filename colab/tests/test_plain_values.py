"""Conversion of a loop's result to JSON: a usual form, or a mark with its type; never a silent null."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
from collections import deque, namedtuple
from typing import Any

import pytest

from smart_colab_executor.in_kernel.plain_values import MAX_CHARS, plain

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = "red"


class Thing:
    pass


class Unkind(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (None, None),
        (True, True),
        ("x", "x"),
        (0.5, 0.5),
        ({"a": [1, (2,)]}, {"a": [1, [2]]}),
        (range(3), [0, 1, 2]),
        (deque([1]), [1]),
        ({"a": 1}.keys(), ["a"]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), "2026-01-02T03:00:00+00:00"),
        (datetime.timedelta(minutes=1), "PT60.0S"),
        (datetime.timedelta(microseconds=1), "PT0.000001S"),
        (decimal.Decimal("1.10"), "1.10"),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_values_with_a_usual_json_form_have_it(value: object, expected: object) -> None:
    assert plain(value) == (expected, None)


@pytest.mark.parametrize(
    ("value", "expected", "marked"),
    [
        (math.nan, "NaN", {"NaN": 1}),
        (decimal.Decimal("-Infinity"), "-Infinity", {"-Infinity": 1}),
        ([1.0, math.nan, -math.inf], [1.0, "NaN", "-Infinity"], {"NaN": 1, "-Infinity": 1}),
        ({"a": Thing()}, {"a": {"not_json": f"{__name__}.Thing"}}, {f"{__name__}.Thing": 1}),
        ([object(), b"x"], [{"not_json": "object"}, {"not_json": "bytes"}], {"object": 1, "bytes": 1}),
        (Unkind(a=1), {"not_json": f"{__name__}.Unkind"}, {f"{__name__}.Unkind": 1}),
        (list(range(1003)), [*range(1000), "… 3 more"], {"items left out": 3}),
        ({3, 1, 2}, [1, 2, 3], {"set as list": 1}),
        ([frozenset("a")], [["a"]], {"set as list": 1}),
        (10**30, str(10**30), {"int as text": 1}),
        ([2**63, -(2**70), 1], [str(2**63), str(-(2**70)), 1], {"int as text": 2}),
        ([10**5000], ["1" + "0" * 5000], {"int as text": 1}),
        ([1 + 2j], ["(1+2j)"], {"complex as text": 1}),
        (
            {1: "a", (2, 3): "b", datetime.date(2026, 1, 2): "c", "d": "d"},
            {"1": "a", "[2, 3]": "b", "2026-01-02": "c", "d": "d"},
            {"key as text": 3},
        ),
        ({1: "a", "1": "b"}, {"1": "a", "1 (str)": "b"}, {"key as text": 1}),
        ([1 << 200_000], [{"not_json": "int"}], {"int": 1}),
    ],
)
def test_other_values_are_marked_and_counted(value: object, expected: object, marked: dict[str, int]) -> None:
    assert plain(value) == (expected, marked)


def test_long_values_are_cut_and_counted() -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    for value in ("x" * 1_000_000, ["x" * 100] * 1000, {str(k): "x" * 100 for k in range(10_000)}, endless):
        result, marked = plain(value)
        assert len(json.dumps(result, ensure_ascii=False, allow_nan=False)) < 3 * MAX_CHARS
        assert marked


def test_lazy_values_are_only_marked() -> None:
    class Query:
        @property
        def shape(self) -> tuple[int, int]:
            raise AssertionError("it was run")

    Query.__module__ = "library"
    assert plain(Query())[1] == {f"library.{Query.__qualname__}": 1}


def test_arrays_and_their_scalars_become_lists_and_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert plain(np.float32(0.5)) == (0.5, None)
    assert plain(np.array([[1, 2], [3, 4]])) == ([[1, 2], [3, 4]], None)
    assert plain(np.array([1.0, math.nan])) == ([1.0, "NaN"], {"NaN": 1})
    assert plain(np.datetime64("2026-01-02")) == ("2026-01-02", None)
    assert plain(np.arange(1002))[1] == {"items left out": 2}
    assert len(json.dumps(plain(np.zeros((1000, 1_000_000), dtype="i1"))[0])) < 3 * MAX_CHARS


def test_tables_become_columns() -> None:
    pd = pytest.importorskip("pandas")
    assert plain(pd.Timestamp("2026-01-02")) == ("2026-01-02T00:00:00", None)
    assert plain(pd.Series([1, 2], index=[5.0, 6.0])) == ([1, 2], None)
    assert plain(pd.DataFrame({"a": [1, 2], "b": ["x", None]}))[0]["a"] == [1, 2]


RECORDS = "np.ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 1)], dtype=[('a', int), ('b', float)])"
NUMPY = {
    "np.float32(0.5)": (0.5, None),
    "np.longdouble(0.5)": (0.5, None),
    "np.float16('nan')": ("NaN", {"NaN": 1}),
    "np.uint64(3)": (3, None),
    "np.bool_(True)": (True, None),
    "np.str_('x')": ("x", None),
    "np.complex64(1 + 2j)": ("(1+2j)", {"complex as text": 1}),
    "np.array(7)": (7, None),
    "np.datetime64('2026-01-02T03')": ("2026-01-02T03", None),
    "np.datetime64('2026-01-02', 'ns')": ("2026-01-02T00:00:00.000000000", None),
    "np.array(np.datetime64('2026-01-02', 'ns'))": ("2026-01-02T00:00:00.000000000", None),
    "np.datetime64('NaT', 's')": (None, {"NaT": 1}),
    "np.timedelta64('NaT', 's')": (None, {"NaT": 1}),
    "np.timedelta64(90, 's')": ("PT90.0S", None),
    "np.timedelta64(1, 'ns')": ("PT0.000000001S", None),
    "np.timedelta64(2, 'D')": ("PT172800.0S", None),
    "np.timedelta64(2, 'Y')": ("P2Y", None),
    "np.timedelta64(3, 'M')": ("P3M", None),
    "np.array(['2026-01-02', 'NaT'], 'M8[ns]')": (["2026-01-02T00:00:00.000000000", None], {"NaT": 1}),
    "np.array([['2026-01-02', 'NaT']], 'M8[D]')": ([["2026-01-02", None]], {"NaT": 1}),
    "np.array([1, 'NaT'], 'm8[s]')": (["PT1.0S", None], {"NaT": 1}),
    "np.ma.masked": (None, {"masked": 1}),
    "np.ma.array([1, 2, 3], mask=[0, 1, 1])": ([1, None, None], {"masked": 2}),
    "np.ma.array([[1.0, 2.0], [math.nan, 4.0]], mask=[[0, 1], [0, 0]])": (
        [[1.0, None], ["NaN", 4.0]],
        {"masked": 1, "NaN": 1},
    ),
    "np.ma.array(5, mask=True)": (None, {"masked": 1}),
    f"{RECORDS}": ([[1, None], [None, None]], {"masked": 3}),
    f"{RECORDS}[0]": ([1, None], {"masked": 1}),
    f"{RECORDS}.reshape(2, 1)": ([[[1, None]], [[None, None]]], {"masked": 3}),
    "np.ma.array((1, 2.0), mask=(0, 1), dtype='i8,f8')": ([1, None], {"masked": 1}),
    "np.array([('2026-01-02', 1), ('NaT', 2)], 'M8[ns],i8')": (
        [["2026-01-02T00:00:00.000000000", 1], [None, 2]],
        {"NaT": 1},
    ),
    "np.array([('2026-01-02', 1)], 'M8[ns],i8')[0]": (["2026-01-02T00:00:00.000000000", 1], None),
    "np.array([([1, 2], (3,))], [('a', int, 2), ('b', [('c', int)])])": ([[[1, 2], [3]]], None),
    "{np.datetime64('NaT', 's'): 1, None: 2}": ({"NaT": 1, "None": 2}, {"key as text": 2}),
    "{'a': [np.ma.masked, np.datetime64('NaT', 's')], 'b': (None,)}": (
        {"a": [None, None], "b": [None]},
        {"masked": 1, "NaT": 1},
    ),
}
PANDAS = {
    "pd.NaT": (None, {"NaT": 1}),
    "pd.NA": (None, {"NA": 1}),
    "{pd.NaT: 1, None: 2, pd.NA: 3}": ({"NaT": 1, "None": 2, "NA": 3}, None),
    "pd.DataFrame([[1, 2, 3]], columns=['a', 'a', 'b'])": ({"a": [1], "a (2)": [2], "b": [3]}, None),
    "pd.DataFrame([[1, 2, 3]], columns=['1', 1, '1'])": ({"1": [1], "1 (int)": [2], "1 (2)": [3]}, None),
    "[pd.NA, None, pd.NaT]": ([None, None, None], {"NA": 1, "NaT": 1}),
    "pd.Timestamp('2026-01-02T03:04:05.000000001')": ("2026-01-02T03:04:05.000000001", None),
    "pd.Timedelta(minutes=1)": ("PT60.0S", None),
    "pd.Series([1, None], dtype='Int64')": ([1, None], {"NA": 1}),
    "pd.Series([1.0, None])": ([1.0, "NaN"], {"NaN": 1}),
    "pd.Series(['x', None], dtype=object)": (["x", None], None),
    "pd.Series(pd.to_datetime(['2026-01-02', None]))": (["2026-01-02T00:00:00", None], {"NaT": 1}),
    "pd.Series(pd.to_timedelta(['1min', None]))": (["PT60.0S", None], {"NaT": 1}),
    "pd.DatetimeIndex(['2026-01-02', None])": (["2026-01-02T00:00:00", None], {"NaT": 1}),
    "pd.DataFrame({'a': [pd.NaT], 'b': pd.array([None], 'boolean')})": (
        {"a": [None], "b": [None]},
        {"NaT": 1, "NA": 1},
    ),
}


def test_keys_with_the_same_text_are_all_kept() -> None:
    assert plain({float("nan"): 1, float("nan"): 2, float("nan"): 3})[0] == {"NaN": 1, "NaN (2)": 2, "NaN (3)": 3}


@pytest.mark.parametrize("code", NUMPY)
def test_numpy_values_are_converted_and_missing_ones_counted(code: str) -> None:
    np = pytest.importorskip("numpy")
    assert plain(eval(code, {"np": np, "math": math})) == NUMPY[code]


@pytest.mark.parametrize("code", PANDAS)
def test_pandas_values_are_converted_and_missing_ones_counted(code: str) -> None:
    pd = pytest.importorskip("pandas")
    assert plain(eval(code, {"pd": pd})) == PANDAS[code]

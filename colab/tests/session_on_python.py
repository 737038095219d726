"""Saves a session of many kinds of values, or loads it, and prints what became of each and how it looks, as JSON.

Run by one Python after another: `python session_on_python.py save|load FOLDER`. Each Python needs
cloudpickle; other libraries are left out where they are missing.
"""

from __future__ import annotations

import ast
import builtins
import collections
import contextlib
import importlib
import io
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PLAIN = """
import ast, asyncio, collections, datetime, decimal, enum, fractions, functools, ipaddress, itertools, logging, math
import operator, pathlib, random, re, statistics, string, types, typing, uuid, zoneinfo
path = pathlib.Path("/content/a b.csv")
paths = {"rel": [pathlib.Path("x/../y")], "win": pathlib.PureWindowsPath("c:/A")}
when = datetime.datetime(2026, 3, 29, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1)
span = datetime.timedelta(1, 2, 3); zone = datetime.timezone(datetime.timedelta(hours=2), "X")
dec = decimal.Decimal("1.10"); context = decimal.Context(prec=7); frac = fractions.Fraction(3, 7)
pattern = re.compile(r"(?P<x>a+)b", re.M | re.I); flags = re.I | re.M
counted = collections.Counter("abca"); ordered = collections.OrderedDict(b=1, a=2)
default = collections.defaultdict(list, a=[1]); last = collections.deque([1, 2], 5)
chain = collections.ChainMap({"a": 1})
generator = random.Random(5); first = [generator.random(), generator.gauss(0, 1)]
logger = logging.getLogger("my.log"); record = logging.LogRecord("n", 20, "p", 3, "m %s", ("a",), None)
space = types.SimpleNamespace(a=1); frozen = types.MappingProxyType({"a": 1}); nothing = type(None)
alias = list[int]; union = int | str; optional = typing.Optional[int]
number = uuid.UUID(int=5); network = ipaddress.ip_network("10.0.0.0/8"); normal = statistics.NormalDist(1, 2)
count = itertools.count(3, 2); partial = functools.partial(int, base=2); getter = operator.itemgetter(1)
error = ExceptionGroup("g", [ValueError(1), FileNotFoundError(2, "No", "f")]); template = string.Template("$a")
nested = {"a": (1, [2, {3}], b"\\0", "\\ud800", 1j, 10**40)}; around = []; around.append(around); imported = math
"""
# What only the Python that made it reads.
BOUND = """
class Colour(enum.Enum): RED = 1
red = Colour.RED
Named = collections.namedtuple("Named", "x y")
named = Named(1, 2)
class Own: pass
own = {"in": Own()}
def work(x, *, y=2): return x * y
add = lambda x: x + 1
held = functools.partial(work, 1)
code = compile("41 + 1", "", "eval")
queue = asyncio.Queue()
adapter = logging.LoggerAdapter(logger, {})
"""
NUMPY = """
import numpy
np_kinds = [numpy.arange(3, dtype=">u2"), numpy.array(["2026-01-01", "NaT"], "M8[s]"), numpy.float32(1.5)]
np_objects = numpy.array([1, "a", None, [2]], object); np_records = numpy.zeros(2, [("x", "f4", (2, 2)), ("n", "U3")])
np_masked = numpy.ma.array([1.5, 2], mask=[0, 1], fill_value=9); np_view = numpy.arange(20)[::3]
np_repeated = {"in": [numpy.broadcast_to(numpy.arange(3), (4, 3))]}
np_columns = numpy.asfortranarray(numpy.ones((2, 3)))
np_generator = numpy.random.default_rng(5); np_drawn = np_generator.normal(size=3)
np_state = numpy.random.RandomState(3)
"""
PANDAS = """
import pandas
pd_frame = pandas.DataFrame({"i": [1, 2], "s": ["a", None], "o": [[1], {}]})
pd_frame["d"] = pandas.to_datetime(["2026-01-01", None])
pd_frame.attrs = {"unit": "m"}; pd_category = pandas.Series(pandas.Categorical(["b", None], ["b", "a"], ordered=True))
pd_nullable = pandas.DataFrame({"i": pandas.array([1, None], "Int64"), "s": pandas.array(["a", None], "string")})
pd_zone = pandas.Series(pandas.date_range("2026-03-29", periods=3, freq="h", tz=zone))
pd_months = pandas.date_range("2026-01-01", periods=3, freq="ME"); pd_times = pandas.timedelta_range("1D", periods=3)
pd_many = pandas.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None])
pd_period = pandas.Period("2026-01", "M")
pd_named = pandas.NamedAgg("a", "sum")
"""
POLARS = """
import polars
pl_frame = polars.DataFrame({"i": [1, None], "s": ["a", "b"], "l": [[1], []], "d": [datetime.date(2026, 1, 1), None]})
pl_enum = polars.Series("e", ["x"], dtype=polars.Enum(["y", "x"])); pl_category = pl_enum.cast(polars.Categorical)
pl_expression = polars.col("i").sum() + 1; pl_lazy = pl_frame.lazy().select("i"); pl_within = [pl_enum[:1]]
"""
SCIPY = """
import scipy.interpolate, scipy.sparse, scipy.spatial.transform
sp_sparse = scipy.sparse.csr_array(numpy.eye(3)); sp_old = scipy.sparse.coo_matrix(numpy.eye(2))
sp_turn = scipy.spatial.transform.Rotation.from_euler("z", [[90], [45]], degrees=True)
sp_between = scipy.spatial.transform.Slerp([0, 1], sp_turn)
sp_grid = scipy.interpolate.RegularGridInterpolator(([0, 1], [0, 1]), numpy.eye(2))
"""
SKLEARN = """
import sklearn.linear_model
sk_model = sklearn.linear_model.Ridge().fit(numpy.eye(3), [1, 2, 3]); sk_class = {"c": sklearn.linear_model.Lasso}
"""
LIBRARIES = {"numpy": NUMPY, "pandas": PANDAS, "polars": POLARS, "scipy": SCIPY, "sklearn": SKLEARN}
# What shows an object that prints nothing of what it holds.
USES: dict[str, str] = {
    "sp_between": "value([0.5]).as_matrix()",
    "sp_grid": "value([[0.2, 0.3]])",
    "sp_turn": "value.as_matrix()",
    "sk_model": "value.predict(numpy.eye(3))",
    "np_generator": "value.bit_generator.state",
    "np_state": "value.get_state()",
    "generator": "value.getstate()",
    "logger": "value.name",
    "record": "value.getMessage()",
    "template": "value.substitute(a=5)",
    "code": "eval(value)",
}


def look(value: Any) -> str:
    """Return a value's type and content."""
    kind = type(value).__name__
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, dict):
        return f"{kind}{[(look(key), look(held)) for key, held in value.items()]}"
    if isinstance(value, (list, tuple, collections.deque)):
        return f"{kind}{[look(held) if held is not value else '...' for held in value]}"
    if kind == "DataFrame":
        columns = value.columns if isinstance(value.columns, list) else range(value.shape[1])
        held = [value[name] if isinstance(name, str) else value.iloc[:, name] for name in columns]
        return f"{kind} {[look(column) for column in held]} {getattr(value, 'attrs', None)}"
    text = f"{kind} {getattr(value, 'dtype', '')} {value!r} {getattr(value, 'freq', '')}"
    if kind == "Series" or kind.endswith("Index"):
        text = f"{text} {[(type(held).__name__, repr(held)) for held in value.to_list()]}"
    text = text.replace("(ordering='physical')", "").replace("pathlib._local", "pathlib")
    return re.sub(r"\s+", " ", re.sub(r" at 0x[0-9A-Fa-f]+", "", text))


def looks(space: dict[str, Any], names: set[str]) -> dict[str, str]:
    """Return how variables look."""
    seen = {}
    for name in names:
        try:
            seen[name] = look(eval(USES.get(name, "value"), {**space, "value": space[name]}))
        except Exception as error:  # noqa: BLE001, RUF100 - whatever a misread value does
            seen[name] = f"{type(error).__name__}: {error}"
    return seen


def main(what: str, folder: str) -> None:
    """Save or load."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    warnings.simplefilter("ignore")
    loading: Any = importlib.import_module("smart_colab_executor.in_kernel.loading")
    saving: Any = importlib.import_module("smart_colab_executor.in_kernel.saving")
    session = sys.modules["__main__"] = ModuleType("__main__")
    space = session.__dict__
    space["__builtins__"] = builtins
    shell = SimpleNamespace(user_ns=space, user_ns_hidden={})
    if what == "save":
        exec(PLAIN + BOUND, space)
        for library, code in LIBRARIES.items():
            with contextlib.suppress(ImportError):
                importlib.import_module(library)
                exec(code, space)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if what == "save":
            saving.save(shell, folder, "session.zip", None)
        else:
            loading.load(shell, folder, "session.zip", None, overwrite=True)
    table = printed.getvalue().partition("\n\n")[0].splitlines()[1:]
    rows = {row.split()[0]: re.split(r"(?:  +|\d [KM]?i?B  )(?=\S)", row, maxsplit=2)[-1] for row in table}
    print(json.dumps({"rows": rows, "seen": looks(space, rows.keys() & space.keys())}))


def assigned(code: str) -> set[str]:
    """Return the names of the variables that code assigns."""
    steps = [step for step in ast.parse(code).body if isinstance(step, ast.Assign)]
    return {target.id for step in steps for target in step.targets if isinstance(target, ast.Name)}


if __name__ == "__main__":
    main(*sys.argv[1:])

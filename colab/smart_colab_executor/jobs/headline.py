"""The line of a job's code that says most about what it does."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

# Longer code is not parsed.
MAX_PARSED_CHARS = 20_000
NAME = "<job>"
MAGIC = re.compile(r"^[ \t]*[%!?].*$", re.MULTILINE)
NEWLINE = re.compile(r"\r\n|\r|\n")

# What a line says, from the most to the least; a line that none matches says most.
DULL = [
    re.compile(pattern)
    for pattern in (
        r"!|%%",
        r"(async\s+)?def\s|class\s|@",
        r"[\w.,\s]+(:[^=]+)?=(?!=)(?!.*\w\()",  # a value without a call
        r"%|\?",
        r"import\s|from\s",
        r"[#'\")\]}]|\w{0,2}(\"\"\"|''')|(pass|else|finally|try)\b",
    )
]

# The place of a value without a call: code that only sets itself up says as little.
VALUE = 3

# Cell magics that run the Python below them; below the others is a file or another language.
RUNNING = re.compile(r"%%(time|timeit|capture|prun|memit)\b")
# Calls that only set up: clocks, seeds, options, paths, empty figures.
SETUP = re.compile(
    r"""(^|\.)(time|time_ns|perf_counter|monotonic|now|utcnow|today|strftime
    |\w*seed\w*|set_option|set_options|filterwarnings|basicConfig|getLogger|set_theme|rcParams\.update|figure|subplots
    |device|is_available|empty_cache|set_default_dtype|use_deterministic_algorithms
    |Path|join|getcwd|chdir|expanduser|resolve|mkdir|makedirs|getenv|environ\.get|sys\.path\.\w+
    |dict|defaultdict|ArgumentParser)$""",
    re.VERBOSE,
)
TRAINING = re.compile(
    r"(^|[._])(fit|train|training|finetune|evaluate|predict|generate|main|benchmark)(_(transform|model|epoch|step|loop))?$"
)
LOADING = re.compile(r"(^|[._])(read|load|open)(_\w+|s)?$")

# The code is checked where it runs.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=re.escape(NAME))


def headline(code: str) -> str:
    """Return the first of the lines that say most."""
    lines = NEWLINE.split(code)
    said = [line.strip() for line in lines if line.strip()]
    first = said[0] if said else ""
    if len(said) < 2:
        return first
    if first.startswith("%%") and not RUNNING.match(first):
        return first
    starts = _starts(code) or [(line, None) for line in lines if line[:1].strip()] or [(line, None) for line in lines]
    return min(((line.strip(), one) for line, one in starts if line.strip()), key=_dullness, default=("", None))[0]


def _starts(code: str) -> list[tuple[str, ast.stmt | None]]:
    """Return the lines with which magics and statements begin; none if the code cannot be parsed."""
    try:
        # With lines in their places; IPython finds magics in its own way.
        tree = ast.parse(MAGIC.sub("", code) if len(code) <= MAX_PARSED_CHARS else "", NAME)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = NEWLINE.split(code)
    found: dict[int, ast.stmt | None] = {number: None for number, line in enumerate(lines) if MAGIC.match(line)}
    for statement in _statements(tree.body):
        found.setdefault(statement.lineno - 1, statement)
    return [(lines[number], found[number]) for number in sorted(found)]


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        is_frame = isinstance(statement, ast.Try) or (isinstance(statement, ast.If) and _is_main(statement.test))
        if isinstance(statement, ast.Try | ast.If) and is_frame:
            yield from _statements(statement.body)
        else:
            yield statement


def _is_main(test: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(test))


def _dullness(start: tuple[str, ast.stmt | None]) -> tuple[int, int]:
    line, statement = start
    rank = next((rank for rank, pattern in enumerate(DULL, start=1) if pattern.match(line)), 0)
    if rank or statement is None:
        return rank, 0
    try:
        return (VALUE, 0) if _is_setup(statement) else (0, _idleness(statement))
    except RecursionError:
        return 0, 0


def _is_setup(statement: ast.stmt) -> bool:
    calls = _calls(statement)
    return (
        isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign) and bool(calls) and all(map(_only_sets_up, calls))
    )


def _only_sets_up(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return not _has_variables(call) if name == "print" else bool(SETUP.search(name))


def _idleness(statement: ast.stmt) -> int:
    """Return 0 for training and the like, then for loops, what is done with variables, other calls, and the rest."""
    calls = _calls(statement)
    names = [ast.unparse(call.func) for call in calls]
    if any(map(TRAINING.search, names)):
        return 0
    if isinstance(statement, ast.For | ast.AsyncFor | ast.While) and any(map(_calls, statement.body)):
        return 1
    if "print" in names or all(SETUP.search(name) or LOADING.search(name) for name in names):
        return 4
    return 2 if isinstance(statement, ast.Expr) and any(map(_has_variables, calls)) else 3


def _calls(statement: ast.AST) -> list[ast.Call]:
    return [part for part in ast.walk(statement) if isinstance(part, ast.Call)]


def _has_variables(call: ast.Call) -> bool:
    return any(isinstance(part, ast.Name) for one in (*call.args, *call.keywords) for part in ast.walk(one))

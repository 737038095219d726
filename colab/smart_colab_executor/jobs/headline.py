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

# The code is checked where it runs.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=re.escape(NAME))


def headline(code: str) -> str:
    """Return the first line that does something; where there is none, the best of the others."""
    lines = NEWLINE.split(code)
    starts = [lines[number] for number in _starts(code)] or [line for line in lines if line[:1].strip()] or lines
    return min((line.strip() for line in starts if line.strip()), key=_dullness, default="")


def _starts(code: str) -> list[int]:
    """Return the numbers of the lines with which magics and statements begin; none if the code cannot be parsed."""
    try:
        # With lines in their places; IPython finds magics in its own way.
        tree = ast.parse(MAGIC.sub("", code) if len(code) <= MAX_PARSED_CHARS else "", NAME)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    magics = [number for number, line in enumerate(NEWLINE.split(code)) if MAGIC.match(line)]
    return sorted([*magics, *(statement.lineno - 1 for statement in _statements(tree.body))])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        is_frame = isinstance(statement, ast.Try) or (isinstance(statement, ast.If) and _is_main(statement.test))
        if isinstance(statement, ast.Try | ast.If) and is_frame:
            yield from _statements(statement.body)
        else:
            yield statement


def _is_main(test: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(test))


def _dullness(line: str) -> int:
    return next((rank for rank, pattern in enumerate(DULL, start=1) if pattern.match(line)), 0)

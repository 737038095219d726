"""Finds calls in code that a person may want to know of before it runs: in its syntax tree, without running anything.

It reads what is written: names as they are imported, and paths that are written out or put together from such. What is
computed, read from a file, done by a library or hidden on purpose is not seen.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from . import calls
from .places import Places
from .shell_text import is_local, meanings
from .values import UNKNOWN, Values

KINDS = ("delete", "shell", "credentials", "network")
MAX_DEPTH = 3
ADDRESS = ("http://", "https://", "ftp://", "s3://", "gs://", "hf://")
# IPython takes the only line of a cell for a magic or an alias of a command, unless it is an assignment or a call.
AUTOMAGIC = re.compile(rf"\s*({'|'.join(sorted(calls.ALIASES | calls.FILE_MAGICS))})[ \t]+(?![=(,.\[])[^\n]*\s*")
# `%%script` takes a value for them.
VALUED = {"--out", "--err", "--proc"}


@dataclass(frozen=True)
class Finding:
    """One call. `is_ordinary`: ordinary work does it all the time, such as `!pip install` or reading an address."""

    kind: str
    line: int
    what: str
    is_ordinary: bool = False

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} ({self.kind})"


def find(source: str, places: Places) -> list[Finding]:
    """Return what is found in a cell, in the order of its lines; nothing in one that does not parse."""
    return sorted(dict.fromkeys(_find(source, places, 1, 0)), key=lambda finding: finding.line)


def _find(source: str, places: Places, first_line: int, depth: int) -> list[Finding]:
    if AUTOMAGIC.fullmatch(source):
        source = "%" + source.lstrip()
    try:
        # Imported only now: it takes an eighth of the executor's start.
        from IPython.core.inputtransformer2 import TransformerManager

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
        finder = _Finder(places, tree, first_line, depth)
        finder.visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return finder.found


class _Finder(Values):
    def __init__(self, places: Places, tree: ast.AST, first_line: int, depth: int) -> None:
        super().__init__(places, tree)
        self.found: list[Finding] = []
        self._offset = first_line - 1
        self._depth = depth

    def _add(self, line: int, kind: str, what: str, *, is_ordinary: bool = False) -> None:
        what = " ".join("".join(one if one.isprintable() else " " for one in what).split())
        shown = what if len(what) <= 80 else what[:77] + "…"
        self.found.append(Finding(kind, line + self._offset, shown, is_ordinary))

    def visit_Call(self, node: ast.Call) -> None:  # noqa: N802 - of ast.NodeVisitor
        name = self._name(node.func)
        if name.startswith("get_ipython()."):
            self._magic(node, name.partition(".")[2])
            return
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        texts = [self._text(argument) for argument in arguments]
        first = texts[0] if texts else None
        receiver = self._text(node.func.value) if isinstance(node.func, ast.Attribute) else None
        method = name.rpartition(".")[2]
        if receiver is not None and method in {"unlink", "rmdir"}:
            self._removes(node, receiver)
        elif name in calls.REMOVERS and first is not None:
            self._removes(node, first)
        self._reads(node, name, receiver, first)
        if name in calls.SHELLS:
            self._shell(node, name, arguments)
        elif name in calls.FETCHERS | calls.SENDERS | calls.REQUESTERS:
            self._network(node, name)
        elif method in calls.READERS and (first or "").startswith(ADDRESS):
            self._add(node.lineno, "network", name, is_ordinary=True)
        elif name in {"exec", "eval"} and first is not None:
            self._nested(first, node.lineno)
        self.generic_visit(node)

    def _removes(self, node: ast.Call, path: str) -> None:
        if self._places.is_outside(path):
            self._add(node.lineno, "delete", f"deletes {path}")

    def _reads(self, node: ast.Call, name: str, receiver: str | None, first: str | None) -> None:
        method = name.rpartition(".")[2]
        if method == "open":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            rest = node.args[0 if receiver is not None else 1 :]
            mode = self._text(rest[0] if rest else given.get("mode", node))
            if mode and mode[0] in "wxa" and "+" not in mode:
                return
        if receiver is not None and method in calls.OPENING_METHODS:
            path: str | None = receiver
        else:
            path = first if name in calls.OPENERS or method in calls.READING_METHODS else None
        if path is not None and self._places.is_secret(path):
            self._add(node.lineno, "credentials", f"{method}({path!r})")

    def _network(self, node: ast.Call, name: str) -> None:
        values = {keyword.arg: keyword.value for keyword in node.keywords}
        given = list(node.args)
        sends = name in calls.SENDERS or "data" in values
        if name in calls.REQUESTERS:
            verb = given.pop(0) if given else values.get("method")
            sends |= verb is not None and (self._text(verb) or "").lower() in calls.SENDING_VERBS
        elif name in {"urllib.request.urlopen", "urllib.request.Request"}:
            sends |= len(given) > 1
        address = given[0] if given else values.get("url")
        if isinstance(address, ast.Tuple) and address.elts:
            address = address.elts[0]
        sends &= not (address is not None and is_local(self._text(address) or ""))
        self._add(node.lineno, "network", name, is_ordinary=not sends)

    def _shell(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> None:
        first = arguments[0] if arguments else None
        if isinstance(first, ast.List | ast.Tuple):
            words = [self._text(word) for word in first.elts]
            # A word that is known only later may be anything.
            text = " ".join(_quoted(word) for word in words) if words and words[0] else None
        else:
            text = None if first is None else self._text(first)
        if text is None:
            self._add(node.lineno, "shell", name, is_ordinary=True)
        else:
            self._commands(node.lineno, text)

    def _commands(self, line: int, text: str, *, is_cell: bool = False) -> None:
        for offset, kind, what, is_ordinary in meanings(text, self._places):
            at = line + (offset if is_cell else 0)
            if kind == "code":
                self._nested(what, at)
            else:
                self._add(at, kind, what, is_ordinary=is_ordinary)

    def _magic(self, node: ast.Call, method: str) -> None:
        line = node.lineno
        texts = [self._text(argument) or "" for argument in node.args]
        if method in {"system", "getoutput"} and texts:
            self._commands(line, texts[0])
        elif method in {"run_line_magic", "run_cell_magic"} and texts:
            name, rest, cell = (*texts, "", "")[:3]
            if name == "script":
                name, rest = _script(rest), ""
            if name in calls.PYTHON_SCRIPTS or name in calls.OTHER_SCRIPTS:
                self._add(line, "shell", f"runs {name}", is_ordinary=True)
            if name in calls.PYTHON_SCRIPTS:
                self._nested(cell, line + 1)
            elif name in calls.SHELL_MAGICS:
                if method == "run_line_magic" or name in {"system", "sx", "!"}:
                    self._commands(line, rest)
                self._commands(line + 1, cell, is_cell=True)
            elif name in calls.ALIASES:
                self._commands(line, f"{name} {rest}")
            elif name in calls.FILE_MAGICS:
                for path in rest.split():
                    if self._places.is_secret(path.strip("'\"")):
                        self._add(line, "credentials", f"%{name} {path}")
            elif name in calls.INSTALLERS:
                self._add(line, "network", f"%{name}", is_ordinary=True)
                self._add(line, "shell", f"%{name}", is_ordinary=True)
            elif name in calls.PYTHON_MAGICS:
                self._nested(cell or re.sub(r"^(-\S+\s+(\d+\s+)?)*", "", rest), line + (1 if cell else 0))

    def _nested(self, source: str, line: int) -> None:
        """Look into Python within a text, which begins on a line."""
        if self._depth < MAX_DEPTH:
            self.found += _find(source, self._places, line + self._offset, self._depth + 1)


def _script(rest: str) -> str:
    """Return the program that `%%script` runs."""
    words = rest.split()
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in VALUED else 1 :]
    return words[0].rpartition("/")[2] if words else ""


def _quoted(word: str | None) -> str:
    return UNKNOWN if word is None else "'" + word.replace("'", "'\\''") + "'"

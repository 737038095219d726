"""What names and expressions are, as far as it is written out."""

# ruff: noqa: D102, N815 - the methods of ast.NodeVisitor

from __future__ import annotations

import ast
import re
from collections import Counter

from .calls import ALL, CONNECTED
from .places import Places

# A part of a text that is known only when the code runs.
UNKNOWN = "$UNKNOWN"
KEPT = {"os.path.expanduser", "os.path.abspath", "os.path.realpath", "os.path.expandvars", "str", "os.fspath"}
LISTS = {"list", "sorted", "tuple", "set", "reversed"}


class Values(ast.NodeVisitor):
    """Visits code in its order, and keeps what names are imported as, and the texts that they have."""

    def __init__(self, places: Places, tree: ast.AST) -> None:
        self._places = places
        self._imported: dict[str, str] = {"Path": "pathlib.Path"}
        self._texts: dict[str, str] = {}
        nodes = list(ast.walk(tree))
        # A name that another function may bind is never known, and in a function only one that is bound once.
        shared = (node.names for node in nodes if isinstance(node, ast.Global | ast.Nonlocal))
        self._shared = {name for names in shared for name in names}
        is_bound = (node for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
        self._bound = Counter(node.id for node in is_bound)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._forget(name)
            self._imported[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                for full in ALL:
                    module, _, name = full.rpartition(".")
                    if module == node.module:
                        self._imported[name] = full
            else:
                self._forget(alias.asname or alias.name)
                self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def generic_visit(self, node: ast.AST) -> None:
        """Forget each name that is bound in a way that is not understood."""
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                self._forget(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._forget(name)
            case ast.MatchMapping(rest=str(name)):
                self._forget(name)
        super().generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._bind(node.optional_vars, node.context_expr)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._loop(node)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    visit_AsyncFor = visit_For

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        before = self._enter()
        for generator in node.generators:
            self._loop(generator)
            for condition in generator.ifs:
                self.visit(condition)
        for made in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.visit(made)
        self._leave(before)

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._forget(node.name)
        self._own(node)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._own(node)

    def _own(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda) -> None:
        """Visit what has names of its own."""
        before = self._enter()
        self._texts = {name: text for name, text in self._texts.items() if self._bound[name] == 1}
        if not isinstance(node, ast.ClassDef):
            self.visit(node.args)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self._leave(before)

    def _enter(self) -> tuple[dict[str, str], dict[str, str]]:
        before = self._imported, self._texts
        self._imported, self._texts = dict(self._imported), dict(self._texts)
        return before

    def _leave(self, before: tuple[dict[str, str], dict[str, str]]) -> None:
        self._imported, self._texts = before

    def _forget(self, name: str) -> None:
        self._texts.pop(name, None)
        self._imported[name] = ""

    def _loop(self, loop: ast.For | ast.AsyncFor | ast.comprehension) -> None:
        """Bind the target of a loop: of paths that are written out, to one that matters."""
        self.visit(loop.iter)
        over = loop.iter
        if isinstance(over, ast.Call) and self._name(over.func) in LISTS and over.args:
            over = over.args[0]
        value: str | None = None
        if isinstance(over, ast.List | ast.Tuple | ast.Set):
            texts = [text for text in map(self._text, over.elts) if text is not None]
            mind = (text for text in texts if self._places.is_outside(text) or self._places.is_secret(text))
            value = next(mind, None)
        elif isinstance(over, ast.Call):
            value = self._text(over)
        self.visit(loop.target)
        if isinstance(loop.target, ast.Name):
            self._learn(loop.target.id, value)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        known = [(self._text(part), self._name(part)) for _, part in pairs]
        for (one, _), (text, name) in zip(pairs, known, strict=True):
            self.visit(one)
            if isinstance(one, ast.Name):
                self._learn(one.id, text)
                if name.endswith("()") and name[:-2] in CONNECTED:
                    self._imported[one.id] = name

    def _learn(self, name: str, text: str | None) -> None:
        if text is not None and name not in self._shared:
            self._texts[name] = text

    def _name(self, node: ast.expr) -> str:
        """Return a function's full name, as far as imports in this cell or the usual names tell; `()` after a call."""
        match node:
            case ast.Name(id=name):
                return self._imported.get(name, name)
            case ast.Attribute(value=value, attr=attr):
                before = self._name(value)
                return f"{before}.{attr}" if before else f"().{attr}"
            case ast.Call(func=function):
                return f"{self._name(function)}()"
        return ""

    def _text(self, node: ast.expr) -> str | None:
        """Return the text or path that an expression has, if it is written out; `~` for the home folder."""
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=bytes(content)):
                return content.decode("utf-8", "replace")
            case ast.Name(id=name):
                return self._texts.get(name)
            case ast.NamedExpr(value=value):
                return self._text(value)
            case ast.Attribute() if self._name(node) == "sys.executable":
                return "python"
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return _path([self._text(left), self._text(right)])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([self._text(left), self._text(right)])
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return self._filled(self._text(left), right.elts if isinstance(right, ast.Tuple) else [right])
            case ast.JoinedStr(values=values):
                return _joined([self._text(value) for value in values])
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self._text(value)
            case ast.Subscript(value=value, slice=ast.Constant(value="HOME" | "USERPROFILE")):
                return "~" if self._name(value) == "os.environ" else None
            case ast.Call(func=function, args=arguments):
                return self._returned(function, arguments)
        return None

    def _filled(self, text: str | None, values: list[ast.expr]) -> str | None:
        texts = map(self._text, values)
        return text and re.sub(r"%[\d.]*[a-z]", lambda _: next(texts, None) or UNKNOWN, text)

    def _returned(self, function: ast.expr, arguments: list[ast.expr]) -> str | None:
        texts = [self._text(argument) for argument in arguments]
        name = self._name(function)
        receiver = self._text(function.value) if isinstance(function, ast.Attribute) else None
        attribute = name.rpartition(".")[2]
        if name == "pathlib.Path.home":
            return "~"
        if name in {"tempfile.gettempdir", "tempfile.mkdtemp"}:
            return "/tmp"  # noqa: S108 - nothing is written there
        if name in KEPT or name in {"glob.glob", "glob.iglob", "os.fsencode"}:
            return texts[0] if texts else None
        if name in {"pathlib.Path", "pathlib.PosixPath", "os.path.join"}:
            return _path(texts)
        if name in {"os.getenv", "os.environ.get"}:
            return "~" if texts[:1] in (["HOME"], ["USERPROFILE"]) else None
        if receiver is not None and attribute in {"expanduser", "resolve", "absolute"}:
            return receiver
        if receiver is not None and attribute == "joinpath":
            return _path([receiver, *texts])
        if receiver is not None and attribute in {"glob", "rglob", "iterdir"}:
            return receiver.rstrip("/") + "/*"
        return None


def _path(texts: list[str | None]) -> str | None:
    """Join the parts of a path; an absolute one starts anew, so each must be known."""
    known = [text for text in texts if text is not None]
    if not known or len(known) < len(texts):
        return None
    starts = [number for number, text in enumerate(known) if text.startswith(("/", "~"))]
    *folders, last = known[starts[-1] if starts else 0 :]
    return "/".join([*(folder.rstrip("/") for folder in folders), last])


def _joined(texts: list[str | None]) -> str | None:
    """Join the parts of a text, the first of which must be known."""
    if not texts or texts[0] is None:
        return None
    return "".join(UNKNOWN if text is None else text for text in texts)

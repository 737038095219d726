"""The names that cells define and use, from their syntax trees."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterable

from ..wire.job import CellNames

# Beyond these, names cannot be known from the text.
DYNAMIC = {"exec", "eval", "globals", "locals", "vars", "setattr", "delattr", "get_ipython", "__import__"}
BUILTINS = frozenset(dir(builtins))
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def cell_names(source: str) -> CellNames:
    """Return what a cell defines and uses.

    A name that the cell always sets before it reads it is not used. A name whose object is changed in place (an item,
    an attribute, a method called for its effect) is both used and defined. With a magic, a star import or a call such
    as `exec`, the text does not tell: the cell is `opaque`.
    """
    try:
        # Imported only now: it takes an eighth of the executor's start.
        from IPython.core.inputtransformer2 import TransformerManager

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            text = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"defines": [], "uses": [], "opaque": True}
    finder = _Finder()
    try:
        finder.block(tree.body)
    except RecursionError:
        return {"defines": [], "uses": [], "opaque": True}
    opaque = finder.opaque or bool(finder.uses & DYNAMIC)
    return {"defines": sorted(finder.defines), "uses": sorted(finder.uses - BUILTINS - DYNAMIC), "opaque": opaque}


class _Finder(ast.NodeVisitor):
    """Walks a cell's statements in the order in which they run."""

    def __init__(self, *, in_class: bool = False) -> None:
        self._in_class = in_class
        self.defines: set[str] = set()
        self.uses: set[str] = set()
        self.opaque = False
        # Names that are set by now, whatever branch was taken.
        self._set: set[str] = set()

    def block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def _define(self, name: str) -> None:
        self.defines.add(name)
        self._set.add(name)

    def _use(self, name: str) -> None:
        if name not in self._set:
            self.uses.add(name)

    def _maybe(self, *blocks: Iterable[ast.AST]) -> None:
        """Walk blocks of which each may be skipped."""
        before = set(self._set)
        after = []
        for block in blocks:
            self._set = set(before)
            for node in block:
                self.visit(node)
            after.append(self._set)
        self._set = before.union(set.intersection(*after)) if len(after) > 1 else before

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._define(node.id)
        else:
            self._use(node.id)
            if isinstance(node.ctx, ast.Del):
                self.defines.add(node.id)
                self._set.discard(node.id)

    def _change(self, target: ast.expr) -> None:
        """Note that the object behind a target is changed in place."""
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name):
            self._use(target.id)
            self.defines.add(target.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(node)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        called = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Attribute):
            self._change(called.func.value)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self._use(node.target.id)
        self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._define(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.opaque = True
            else:
                self._define(alias.asname or alias.name)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._maybe(node.body, node.orelse)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._maybe([node.target, *node.body])
        self._maybe(node.orelse)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._maybe(node.body)
        self._maybe(node.orelse)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        # The body may end anywhere; what a handler sets is set only there.
        self._maybe([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        self.block(node.finalbody)

    def visit_TryStar(self, node: ast.TryStar) -> None:
        self.visit_Try(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self._set.add(node.name)
        self.block(node.body)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self._maybe(*([case] for case in node.cases), [])

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self._define(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._define(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self._define(node.rest)
        self.generic_visit(node)

    def _scope(self, body: list[ast.AST], set_before: Iterable[str] = (), *, is_class: bool = False) -> None:
        """Walk a body with names of its own: they stay in it."""
        inner = _Finder(in_class=is_class)
        inner._set = set(set_before)
        for node in body:
            inner.visit(node)
        # What a class sets is not seen by its methods.
        self.uses |= inner.uses if self._in_class else inner.uses - self._set
        self.defines |= inner.defines - _bound(body) - set(set_before)
        self.opaque |= inner.opaque

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        for default in [*arguments.defaults, *filter(None, arguments.kw_defaults)]:
            self.visit(default)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += filter(None, (arguments.vararg, arguments.kwarg))
        for argument in every:
            if argument.annotation is not None:
                self.visit(argument.annotation)
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
        self._scope(body, {argument.arg for argument in every} | _bound(body))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        if node.returns is not None:
            self.visit(node.returns)
        # Set first: a function may call itself.
        self._define(node.name)
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]:
            self.visit(part)
        self._define(node.name)
        self._scope([*node.body], is_class=True)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        first, *rest = node.generators
        self.visit(first.iter)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        tests = [test for generator in node.generators for test in generator.ifs]
        targets = [generator.target for generator in node.generators]
        self._scope([*(generator.iter for generator in rest), *tests, *results], _bound(targets))

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension  # noqa: N815


def _bound(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that belong to a scope: set in it, and not declared global."""
    bound: set[str] = set()
    outer: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global):
            outer.update(node.names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, SCOPES):
            if not isinstance(node, ast.Lambda):
                bound.add(node.name)
            continue
        waiting.extend(ast.iter_child_nodes(node))
    return bound - outer

"""Turns a cell into the body of a real `for i in …`.

Runs in the kernel, as `_smart_colab.loops`; standard library only. It rewrites the syntax tree that IPython parsed from
the user's own text, so magics work and tracebacks show the lines as they were written.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "i"
PLACEHOLDER = "{i}"
RUNTIME = "_smart_colab"
# In the namespace of an iteration on a worker: what it reports to.
ITERATION = "__smart_colab__"

Node = TypeVar("Node", bound=ast.AST)


def rewrite(body: ast.Module, *, skip_errors: bool) -> ast.Module:
    """Wrap `body` into a loop over the runtime's `iterations()`.

    The generator reports an iteration when the next one is requested, so `continue` needs no care; `finish_loop` after
    the loop also runs on a `break`, `end_loop` around both at every end. With `skip_errors` a failing iteration is
    reported and the loop continues. Locations that are missing are those of the parents: IPython fills them in.
    """
    statements = _statements(body, lambda value: _runtime_call("keep_result", value))
    first, last = statements[0], statements[-1]
    if skip_errors:
        handler = ast.ExceptHandler(
            type=ast.Name(id="Exception", ctx=ast.Load()), name=None, body=[ast.Expr(_runtime_call("skip_error"))]
        )
        statements = [_at(ast.Try(body=statements, handlers=[handler], orelse=[], finalbody=[]), first)]
    loop = ast.For(
        target=ast.Name(id=VARIABLE, ctx=ast.Store()),
        iter=_runtime_call("iterations"),
        body=statements,
        orelse=[],
        type_comment=None,
    )
    finish, end = (_at(ast.Expr(_runtime_call(name)), last) for name in ("finish_loop", "end_loop"))
    body.body = [_at(ast.Try(body=[_at(loop, first), finish], handlers=[], orelse=[], finalbody=[end]), first)]
    return body


def rewrite_one(body: ast.Module) -> ast.Module:
    """Wrap `body` into a loop over one iteration, whose number is `i` already; for a worker of a cluster.

    It hands the value of the last expression to `ITERATION.keep`, and calls `ITERATION.end` unless it breaks.
    """
    statements = _statements(body, lambda value: _iteration_call("keep", value))
    first, last = statements[0], statements[-1]
    end = _at(ast.Expr(_iteration_call("end")), last)
    loop = ast.For(
        target=ast.Name(id=VARIABLE, ctx=ast.Store()),
        iter=ast.Tuple(elts=[_loop_variable()], ctx=ast.Load()),
        body=statements,
        orelse=[end],
        type_comment=None,
    )
    body.body = [_at(loop, first)]
    return ast.fix_missing_locations(body)


def rewrite_to_call(body: ast.Module, name: str) -> ast.Module:
    """Replace `body` by a call of the runtime's function `name`; it runs elsewhere. See `rewrite` for locations."""
    call, end = ast.Expr(_runtime_call(name)), ast.Expr(_runtime_call("end_loop"))
    body.body = [ast.Try(body=[call], handlers=[], orelse=[], finalbody=[end])]
    return body


def awaits(body: ast.Module) -> bool:
    """Return whether the body awaits at its top level; `compile` cannot, as a bare `continue` does not compile."""
    pending: list[ast.AST] = list(body.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if isinstance(node, ast.comprehension) and node.is_async:
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _statements(body: ast.Module, keep: Callable[[ast.expr], ast.expr]) -> list[ast.stmt]:
    """Return the statements with the placeholders replaced; the value of a last expression goes to `keep`."""
    statements = [_Placeholders().visit(statement) for statement in body.body] or [ast.Pass()]
    last = statements[-1]
    if isinstance(last, ast.Expr):
        last.value = ast.copy_location(keep(last.value), last.value)
    return statements


class _Placeholders(ast.NodeTransformer):
    """Replaces `{i}` in the body with the iteration number."""

    def visit_Set(self, node: ast.Set) -> ast.AST:
        match node.elts:
            case [ast.Name(id=name)] if name == VARIABLE:
                return _at(_loop_variable(), node)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str) or PLACEHOLDER not in node.value:
            return node
        values: list[ast.expr] = []
        for position, text in enumerate(node.value.split(PLACEHOLDER)):
            if position:
                values.append(ast.FormattedValue(value=_loop_variable(), conversion=-1, format_spec=None))
            if text:
                values.append(ast.Constant(text))
        return _at(ast.JoinedStr(values=values), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._with_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._with_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._with_docstring(node)

    def _with_docstring(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        """Keep a docstring a plain string: an f-string is not a docstring."""
        first = node.body[0]
        text = first.value if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else None
        self.generic_visit(node)
        if isinstance(first, ast.Expr) and text is not None:
            first.value = text
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        # An f-string formats `{i}` itself; the expressions in it are code like any other.
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                value.value = self.visit(value.value)
        return node

    def visit_TemplateStr(self, node: ast.AST) -> ast.AST:
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        # A pattern cannot hold an f-string.
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = [self.visit(statement) for statement in node.body]
        return node


def _loop_variable() -> ast.Name:
    return ast.Name(id=VARIABLE, ctx=ast.Load())


def _runtime_call(name: str, *arguments: ast.expr) -> ast.Call:
    """Return `__import__("_smart_colab").name(…)`, an expression that defines no name."""
    runtime = ast.Call(func=ast.Name(id="__import__", ctx=ast.Load()), args=[ast.Constant(RUNTIME)], keywords=[])
    return ast.Call(func=ast.Attribute(value=runtime, attr=name, ctx=ast.Load()), args=list(arguments), keywords=[])


def _iteration_call(name: str, *arguments: ast.expr) -> ast.Call:
    iteration = ast.Name(id=ITERATION, ctx=ast.Load())
    return ast.Call(func=ast.Attribute(value=iteration, attr=name, ctx=ast.Load()), args=list(arguments), keywords=[])


def _at(node: Node, place: ast.AST) -> Node:
    """Give `node` the source location of `place`; its children inherit it in the end."""
    return ast.copy_location(node, place) if hasattr(place, "lineno") else node

"""Finds what code relies on that worker processes do not have: names of the session, magics, counters.

Runs in the kernel, as `_smart_colab.worker_names`; standard library only. It reads the code's text, and runs nothing.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from typing import TYPE_CHECKING, NamedTuple

from . import loops

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

GIVEN = {loops.VARIABLE, "display", "__name__", "__builtins__", *dir(builtins)}
# What IPython puts where magics and shell commands were.
MAGIC = "get_ipython"
CHANGING = {"append", "add", "update", "extend", "insert", "setdefault", "pop", "remove", "clear"}


class Names(NamedTuple):
    """The global names of a piece of code."""

    bound: set[str]
    read: set[str]


def names_of(tree: ast.Module) -> Names:
    """Return the global names that the code binds, and those that it reads."""
    bound: set[str] = set()
    read: set[str] = set()
    top = symtable.symtable(ast.unparse(tree), "<code>", "exec")
    for table in _tables(top):
        for symbol in table.get_symbols():
            is_own = table is top or symbol.is_declared_global()
            if is_own and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                read.add(symbol.get_name())
    return Names(bound, read)


def fault(body: ast.Module, setup: ast.Module, session: Collection[str]) -> str | None:
    """Return why a body cannot run on workers that have run `setup`; `session`: the names in the session."""
    of_setup, of_body = names_of(setup), names_of(loops.rewrite_one(_copy(body)))
    for part, names in (("setup_code", of_setup), ("loop_code", of_body)):
        if MAGIC in names.read:
            return (
                f"{part} uses a magic or a shell command, which worker processes do not have: use subprocess, or run "
                "it in the session before"
            )
    if counters := sorted(_counters(body)):
        return (
            f"loop_code changes {_listed(counters)}, of which every iteration has a copy of its own on a cluster: "
            "make the value the last expression, and put the results together afterwards"
        )
    missing = of_body.read - of_body.bound - GIVEN - {loops.ITERATION}
    if not _has_unknown_names(setup):
        missing -= of_setup.bound
        if foreign := sorted(missing & set(session)):
            return (
                f"loop_code uses {_listed(foreign)} of the session, which worker processes do not have: let "
                "setup_code define it"
            )
    return None


def shared(body: ast.Module) -> list[str]:
    """Return the names of outer values that the body changes in place, which remains in the worker's process."""
    bound = names_of(loops.rewrite_one(_copy(body))).bound
    return sorted({name for node in ast.walk(body) if (name := _changed(node)) and name not in bound})


def _copy(body: ast.Module) -> ast.Module:
    return ast.parse(ast.unparse(body))


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _counters(body: ast.Module) -> Iterator[str]:
    """Yield global names that the body changes from what they were before it."""
    nodes = list(_outside_functions(body))
    changed = [node.target for node in nodes if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)]
    stored = (node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    fresh = {node.id for node in stored if node not in changed}
    yield from (node.id for node in changed if node.id not in fresh)
    for node in ast.walk(body):
        if isinstance(node, ast.Global):
            yield from (name for name in node.names if name not in fresh)


def _outside_functions(body: ast.Module) -> Iterator[ast.AST]:
    pending: list[ast.AST] = list(body.body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        pending.extend(ast.iter_child_nodes(node))


def _changed(node: ast.AST) -> str | None:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr))) if attr in CHANGING:
            return name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
            return name
        case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()):
            return name
    return None


def _has_unknown_names(setup: ast.Module) -> bool:
    """Return whether the setup may bind names that its text does not show."""
    for node in ast.walk(setup):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return True
            case ast.Call(func=ast.Name(id="exec" | "globals" | "setattr")):
                return True
    return False


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:10])

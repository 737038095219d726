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
    counters = set(_counters(body))
    carried = _carried(body)
    # Without a value from the setup it would be missing, unless the code looks whether it is there.
    counters |= carried if _has_unknown_names(setup) else carried & of_setup.bound
    if counters := counters - {loops.VARIABLE}:
        return (
            f"loop_code changes {_listed(sorted(counters))}, of which every iteration has a copy of its own on a "
            "cluster: make the value the last expression, and put the results together afterwards"
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


def shared(body: ast.Module, setup: ast.Module) -> list[str]:
    """Return the names of outer values that the code changes in a worker's process, where the change remains.

    The body changes them in place, or functions of the setup assign them.
    """
    bound = names_of(loops.rewrite_one(_copy(body))).bound
    changed = {name for node in ast.walk(body) if (name := _changed(node)) and name not in bound}
    return sorted(changed | {name for node in ast.walk(setup) if isinstance(node, ast.Global) for name in node.names})


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


def _carried(body: ast.Module) -> set[str]:
    """Return the names that the body assigns, and may read before: from an iteration to the next, it seems."""
    before: set[str] = set()
    _follow(body.body, set(), before)
    stored = (node for node in _outside_functions(body) if isinstance(node, ast.Name))
    return before & {node.id for node in stored if isinstance(node.ctx, ast.Store)}


def _follow(statements: list[ast.stmt], assigned: set[str], before: set[str]) -> set[str] | None:
    """Return what is assigned after these statements, however they run; None if they never end.

    What they read that is not assigned by then is added to `before`.
    """
    for statement in statements:
        parts = _own_parts(statement)
        _read(parts, assigned, before)
        assigned = assigned.union(_assigned(statement), *(_targets(part) for part in parts))
        match statement:
            case ast.Continue() | ast.Break() | ast.Raise() | ast.Return():
                return None
            case ast.If(body=first, orelse=second):
                ends = [_follow(part, assigned, before) for part in (first, second)]
            case ast.With(body=inside) | ast.AsyncWith(body=inside):
                ends = [_follow(inside, assigned, before)]
            case ast.For(body=inside, orelse=second) | ast.AsyncFor(body=inside, orelse=second):
                ends = [assigned, *(_follow(part, assigned, before) for part in (inside, second))]
            case ast.While(body=inside, orelse=second):
                ends = [assigned, *(_follow(part, assigned, before) for part in (inside, second))]
            case ast.Match(cases=cases):
                ends = [assigned, *(_follow(one.body, assigned | _captured(one.pattern), before) for one in cases)]
            case ast.Try() | ast.TryStar():
                ends = [_follow([*statement.body, *statement.orelse], assigned, before)]
                ends += [_follow(one.body, assigned | {str(one.name)}, before) for one in statement.handlers]
                if (last := _follow(statement.finalbody, assigned, before)) is None:
                    return None
                ends = [None if end is None else end | last for end in ends]
            case _:
                continue
        if not (reached := [end for end in ends if end is not None]):
            return None
        assigned = set.intersection(*reached)
    return assigned


def _own_parts(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that run before the statements inside it."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.AnnAssign(value=None):
            return []
        case ast.AugAssign(target=ast.Name(id=name)):
            return [ast.Name(id=name, ctx=ast.Load()), statement.target, statement.value]
    inside = (ast.stmt, ast.ExceptHandler, ast.match_case)
    return [part for part in ast.iter_child_nodes(statement) if not isinstance(part, inside)]


def _read(parts: list[ast.AST], assigned: set[str], before: set[str]) -> None:
    pending: list[tuple[ast.AST, set[str]]] = [(part, assigned) for part in parts]
    while pending:
        node, known = pending.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name not in known:
                before.add(name)
            case ast.Lambda(args=arguments):
                known = known | {one.arg for one in ast.walk(arguments) if isinstance(one, ast.arg)}
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                known = known.union(*(_targets(one.target) for one in node.generators))
        pending += [(part, known) for part in ast.iter_child_nodes(node)]


def _assigned(statement: ast.stmt) -> set[str]:
    """Return what a statement binds other than by a target."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(alias.asname or alias.name).partition(".")[0] for alias in names}
    return set()


def _targets(node: ast.AST) -> set[str]:
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)):
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    return set().union(*(_targets(part) for part in ast.iter_child_nodes(node)))


def _captured(pattern: ast.pattern) -> set[str]:
    return {name for node in ast.walk(pattern) if (name := getattr(node, "name", None) or getattr(node, "rest", None))}


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

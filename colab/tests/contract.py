"""Reads API.md's examples, and checks values against the protocol's types."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from smart_colab_executor.wire import event, files, job, machine, problem, session

PAGE = (Path(__file__).parents[1] / "API.md").read_text("utf-8")
BLOCK = re.compile(r"^```json ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = (event, files, job, machine, problem, session)


def examples() -> list[tuple[str, Any]]:
    """Return every example with the name of its type."""
    found = []
    for name, text in BLOCK.findall(PAGE):
        rest = text.strip()
        while rest:
            value, end = json.JSONDecoder().raw_decode(rest)
            found.append((name, value))
            rest = rest[end:].strip()
    return found


def kind_of(name: str) -> Any:
    """Return the type of this name. Raises StopIteration."""
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


def faults(value: Any, kind: Any, where: str = "") -> list[str]:
    """Return the reasons why a JSON value does not match a type."""
    origin, parts = get_origin(kind), get_args(kind)
    wrong = [f"{where or 'it'}: {value!r:.60} is no {kind}"]
    if kind is Any:
        return []
    if is_typeddict(kind):
        return _object_faults(value, kind, where) if isinstance(value, dict) else wrong
    if origin in (Union, types.UnionType):
        tried = [faults(value, part, where) for part in parts]
        # Among several objects, the best match gives the most useful faults.
        return min(tried, key=len)
    if origin is NotRequired:
        return faults(value, parts[0], where)
    if origin is Literal:
        return [] if value in parts else wrong
    if origin is list and isinstance(value, list):
        return [fault for at, item in enumerate(value) for fault in faults(item, parts[0], f"{where}[{at}]")]
    if origin is tuple and isinstance(value, list) and len(value) == len(parts):
        return [fault for item, part in zip(value, parts, strict=True) for fault in faults(item, part, where)]
    if origin is dict and isinstance(value, dict):
        return [fault for name, item in value.items() for fault in faults(item, parts[1], f"{where}.{name}")]
    if kind is float:
        kind = (int, float)
    if origin is None and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return []
    return wrong


def _object_faults(value: dict[str, Any], kind: Any, where: str) -> list[str]:
    hints = get_type_hints(kind, include_extras=True)
    required = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    found = [f"{where}.{name} is missing" for name in required - value.keys()]
    found += [f"{where}.{name} is in no {kind.__name__}" for name in value.keys() - hints.keys()]
    for name in hints.keys() & value.keys():
        found += faults(value[name], hints[name], f"{where}.{name}")
    return found

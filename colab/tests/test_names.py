from __future__ import annotations

import pytest
from harness import Executor

from smart_colab_executor.jobs.names import cell_names


@pytest.mark.parametrize(
    ("source", "defines", "uses"),
    [
        ("x = 1", "x", ""),
        ("y = x + 1", "y", "x"),
        ("x = 1\ny = x", "x y", ""),
        ("x = x + 1", "x", "x"),
        ("x += 1", "x", "x"),
        ("a, (b, *c) = f()", "a b c", "f"),
        ("x: int = 1\ny: int", "x", ""),
        ("print(len(data))", "", "data"),
        ("import numpy as np, os.path\nfrom a import b as c", "c np os", ""),
        # In place.
        ("x.append(y)", "x", "x y"),
        ("df['a'] = 1", "df", "df"),
        ("model.head.weight = w", "model", "model w"),
        ("await client.send(m)", "client", "client m"),
        ("shown = df.head()", "shown", "df"),
        ("del x", "x", "x"),
        # Branches: what may be unset is used from before.
        ("if ok:\n    x = 1\nprint(x)", "x", "ok x"),
        ("if ok:\n    x = 1\nelse:\n    x = 2\nprint(x)", "x", "ok"),
        ("for i in rows:\n    last = i\nprint(last)", "i last", "last rows"),
        ("while n:\n    n = step(n)", "n", "n step"),
        ("try:\n    x = f()\nexcept E as e:\n    print(e)\nprint(x)", "x", "E f x"),
        ("try:\n    x = f()\nexcept E:\n    x = 0\nprint(x)", "x", "E f"),
        ("with open(p) as file:\n    text = file.read()", "file text", "p"),
        (
            "match v:\n    case [a, *rest]:\n        print(a)\n    case {'k': b, **c}:\n        print(c)",
            "a b c rest",
            "v",
        ),
        ("if (n := len(x)) > 2:\n    print(n)", "n", "x"),
        # Scopes.
        (
            "def f(a, b=c, *d, e: T = None, **g) -> R:\n    local = a + c\n    return f(local)",
            "f",
            "R T c",
        ),
        ("f = lambda v, w=k: v + w + z", "f", "k z"),
        ("def f():\n    global x\n    x = y", "f x", "y"),
        ("def f():\n    history.append(1)", "f history", "history"),
        ("class A(Base):\n    size = n\n    def m(self):\n        return size", "A", "Base n size"),
        ("squares = [i * k for i in xs for j in i if j > m]", "squares", "k m xs"),
        ("d = {k: v for k, v in pairs.items()}", "d", "pairs"),
        ("async def g():\n    async for a in s:\n        yield a", "g", "s"),
        ("@cache\ndef f():\n    pass", "f", "cache"),
        ("", "", ""),
    ],
)
def test_a_cells_names_follow_pythons_scopes(source: str, defines: str, uses: str) -> None:
    assert cell_names(source) == {"defines": defines.split(), "uses": uses.split(), "opaque": False}


@pytest.mark.parametrize(
    "source",
    [
        "from a import *",
        "exec(code)",
        "globals()['x'] = 1",
        "%run other.py",
        "!pip install x",
        "%%bash\nls",
        "x ==",
        "(" * 5000,
        "\0",
    ],
)
def test_what_the_text_does_not_tell_is_opaque(source: str) -> None:
    assert cell_names(source)["opaque"]


def test_names_are_served_for_many_cells_at_once(executor: Executor) -> None:
    reply = executor.call("POST", "/names", {"cells": ["x = 1", "print(x)"]})
    assert reply.status == 200
    assert reply.json == {
        "cells": [{"defines": ["x"], "uses": [], "opaque": False}, {"defines": [], "uses": ["x"], "opaque": False}]
    }
    wrong: list[object] = [{}, {"cells": "x"}, {"cells": [1]}, []]
    for body in wrong:
        reply = executor.call("POST", "/names", body)
        assert (reply.status, reply.json["code"]) == (400, "invalid_argument")

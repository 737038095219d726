"""Loads the in-kernel part of this package into a kernel."""

from __future__ import annotations

import base64
import marshal
import sys
import zlib
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from .. import in_kernel

# In import order; the last one is the package itself.
KERNEL_SIDE = (
    "jsonline",
    "journal",
    "message_ids",
    "loops",
    "origins",
    "pools",
    "forks",
    "children",
    "pipes",
    "descriptors",
    "diversions",
    "kernel_output",
    "own_modules",
    "tracebacks",
    "plain_values",
    "loop_runner",
    "figures",
    "interrupts",
    "current_folder",
    "packing",
    "payloads",
    "leaving",
    "questions",
    *(() if sys.platform == "win32" else ("shell_commands",)),
    "classes",
    "facts",
    "short_repr",
    "variables",
    "holdings",
    "cleanup",
    "kernel_side",
)


@cache
def bootstrap() -> str:
    """Return an expression that creates the package `_smart_colab` in a kernel from its compiled files.

    Kernels run on this very Python, so its cache of compiled files serves them too.
    """
    modules = {f"_smart_colab.{name}": _compiled(name) for name in KERNEL_SIDE}
    modules["_smart_colab"] = modules.pop("_smart_colab.kernel_side")
    modules = {name: _renamed(code, f"<{name}>") for name, code in modules.items()}
    packed = base64.b64encode(zlib.compress(marshal.dumps(modules), level=1)).decode()
    script = f"""
import base64, marshal, sys, types, zlib
package = sys.modules["_smart_colab"] = types.ModuleType("_smart_colab")
package.__path__ = []
for name, code in marshal.loads(zlib.decompress(base64.b64decode({packed!r}))).items():
    module = sys.modules.setdefault(name, types.ModuleType(name))
    module.__package__ = "_smart_colab"
    if module is not package:
        setattr(package, name.rpartition(".")[2], module)
    exec(code, module.__dict__)
package.install(shell)
"""
    return f"exec({script!r}, {{'shell': get_ipython()}})"


def _compiled(name: str) -> CodeType:
    loader = SourceFileLoader(f"{in_kernel.__name__}.{name}", str(Path(in_kernel.__file__).with_name(f"{name}.py")))
    code = loader.get_code(loader.name)
    assert code is not None  # noqa: S101 - it has a source
    return code


def _renamed(code: CodeType, file: str) -> CodeType:
    """Give code a file name by which tracebacks recognise it as ours."""
    parts = (_renamed(part, file) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=file, co_consts=tuple(parts))

"""Loads the in-kernel part of this package into a kernel."""

from __future__ import annotations

import base64
import marshal
import sys
import zlib
from functools import cache
from pathlib import Path

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
    """Return an expression that creates the package `_smart_colab` in a kernel from the compiled text of its files.

    Kernels run on this very Python, so it is compiled here, once.
    """
    here = Path(in_kernel.__file__).parent
    sources = {f"_smart_colab.{name}": (here / f"{name}.py").read_text("utf-8") for name in KERNEL_SIDE}
    sources["_smart_colab"] = sources.pop("_smart_colab.kernel_side")
    modules = {name: compile(source, f"<{name}>", "exec") for name, source in sources.items()}
    packed = base64.b64encode(zlib.compress(marshal.dumps(modules))).decode()
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

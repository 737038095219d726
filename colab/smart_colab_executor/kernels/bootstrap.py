"""Loads the in-kernel part of this package into a kernel, whatever its Python and wherever the package is installed."""

from __future__ import annotations

import sys
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
    "cleanup",
    "kernel_side",
)


def bootstrap() -> str:
    """Return an expression that creates the package `_smart_colab` in the kernel from the text of its files."""
    here = Path(in_kernel.__file__).parent
    sources = {f"_smart_colab.{name}": (here / f"{name}.py").read_text("utf-8") for name in KERNEL_SIDE}
    sources["_smart_colab"] = sources.pop("_smart_colab.kernel_side")
    script = f"""
import sys, types
package = sys.modules["_smart_colab"] = types.ModuleType("_smart_colab")
package.__path__ = []
for name, source in {sources!r}.items():
    module = sys.modules.setdefault(name, types.ModuleType(name))
    module.__package__ = "_smart_colab"
    if module is not package:
        setattr(package, name.rpartition(".")[2], module)
    exec(compile(source, f"<{{name}}>", "exec"), module.__dict__)
package.install(shell)
"""
    return f"exec({script!r}, {{'shell': get_ipython()}})"

"""Loads the in-kernel part of this package into a kernel."""

from __future__ import annotations

import base64
import json
import marshal
import sys
import zlib
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from .. import in_kernel

# What loops and reports on variables need, in every kernel.
LOOPS = (
    "worker_side",
    "worker_names",
    "worker_package",
    "clusters",
    "cluster_view",
    "cluster_work",
    "on_cluster",
    "loop_runner",
)
VARIABLES = (
    "classes",
    "facts",
    "short_repr",
    "variables",
    "holdings",
    "cleanup",
    "versions",
    "submodules",
    "pickles",
    "formats",
    "saved_state",
    "interrupts",
    "saving",
    "loading",
    "requests",
)
# In import order; the last one is the package itself.
KERNEL_SIDE = (
    "jsonline",
    "journal",
    "message_ids",
    "messages",
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
    *LOOPS,
    "figures",
    "current_folder",
    "packing",
    "payloads",
    "winding_up",
    "leaving",
    "questions",
    "inputs",
    *(() if sys.platform == "win32" else ("shell_commands",)),
    *VARIABLES,
    "kernel_side",
)
# For a kernel that is not our own.
GUEST_SIDE = (
    "jsonline",
    "messages",
    "loops",
    "tracebacks",
    "plain_values",
    *LOOPS,
    *VARIABLES,
    "guest",
)
MIN_PYTHON = (3, 11)


# Installs the package where it is loaded.
INSTALL = 'sys.modules["_smart_colab"].install(shell)'


@cache
def loading() -> str:
    """Return a script that creates the package `_smart_colab` in a kernel from its compiled files.

    Kernels of our own run on this very Python, so its cache of compiled files serves them too.
    """
    modules = {name: _renamed(_compiled(file), f"<{name}>") for name, file in _files(KERNEL_SIDE).items()}
    packed = _packed(marshal.dumps(modules))
    return _script(f"marshal.loads(zlib.decompress(base64.b64decode({packed!r})))")


def bootstrap(*, is_loaded: bool) -> str:
    """Return an expression that installs the package in a kernel, and loads it first if it is not loaded yet."""
    return _expression("import sys" if is_loaded else loading())


@cache
def guest_bootstrap() -> str:
    """Return the same for a kernel on another Python."""
    packed = _packed(json.dumps({name: file.read_text("utf-8") for name, file in _files(GUEST_SIDE).items()}).encode())
    texts = f"json.loads(zlib.decompress(base64.b64decode({packed!r})))"
    return _expression(_script(f"{{name: compile(text, f'<{{name}}>', 'exec') for name, text in {texts}.items()}}"))


def _files(modules: tuple[str, ...]) -> dict[str, Path]:
    here = Path(in_kernel.__file__).parent
    files = {f"_smart_colab.{name}": here / f"{name}.py" for name in modules}
    files["_smart_colab"] = files.pop(f"_smart_colab.{modules[-1]}")
    return files


def _compiled(file: Path) -> CodeType:
    loader = SourceFileLoader(f"{in_kernel.__name__}.{file.stem}", str(file))
    code = loader.get_code(loader.name)
    assert code is not None  # noqa: S101 - it has a source
    return code


def _renamed(code: CodeType, file: str) -> CodeType:
    """Give code a file name by which tracebacks recognise it as ours."""
    parts = (_renamed(part, file) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=file, co_consts=tuple(parts))


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, level=1)).decode()


def _script(modules: str) -> str:
    """Return the script that loads the package, given an expression for its code objects by name."""
    return f"""
import base64, json, marshal, sys, types, zlib
if sys.version_info < {MIN_PYTHON}:
    raise RuntimeError("it runs Python %d.%d, and {MIN_PYTHON[0]}.{MIN_PYTHON[1]} is needed" % sys.version_info[:2])
package = sys.modules["_smart_colab"] = types.ModuleType("_smart_colab")
package.__path__ = []
for name, code in {modules}.items():
    module = sys.modules.setdefault(name, types.ModuleType(name))
    module.__package__ = "_smart_colab"
    if module is not package:
        setattr(package, name.rpartition(".")[2], module)
        module.CODE = code
    exec(code, module.__dict__)
"""


def _expression(script: str) -> str:
    script = f"{script}\n{INSTALL}\n"
    return f"exec({script!r}, {{'shell': get_ipython()}})"

#!/usr/bin/env bash
# One would expect: an object in `sys.modules` for which `isinstance(it, types.ModuleType)` is true is a module, so the
# methods of `ModuleType` take it.
#
# What happens (cffi 2.1.1, through cryptography 50.0.2): after the import of cryptography's bindings, `sys.modules` holds a `Lib` of
# cffi, whose `__class__` says `module`. `isinstance` believes it; `ModuleType.__getattribute__` raises TypeError.
#
# Why it matters: code that walks `sys.modules` without running the modules' own `__getattr__` (reloaders, debuggers,
# tracebacks) fails in every program that uses TLS by cryptography. `issubclass(type(it), ModuleType)` tells them apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install cffi==2.1.1 cryptography==50.0.2
cat >"$folder/look.py" <<'PYTHON'
import sys
from types import ModuleType

from cryptography.hazmat.bindings.openssl import binding  # noqa: F401


def is_refused(module):
    try:
        ModuleType.__getattribute__(module, "__dict__")
    except TypeError as error:
        print(f"isinstance: {isinstance(module, ModuleType)}, type: {type(module)}, {error}")
        return True
    return False


refused = [name for name, module in list(sys.modules.items()) if isinstance(module, ModuleType) and is_refused(module)]
print(refused)
sys.exit(not refused)
PYTHON
"$folder/venv/bin/python" "$folder/look.py"

"""What Python does at a script's end, for a kernel that is about to be killed: exit functions, and open files' buffers.

Runs in the kernel, as `_smart_colab.winding_up`; standard library only. Threads are not waited for.
"""

from __future__ import annotations

import atexit
import gc
import io
import logging
import sys
import weakref
from contextlib import suppress

# Those complete their file when they are closed, which Python does as it deletes them.
COMPLETED = (("gzip", "GzipFile"), ("bz2", "BZ2File"), ("lzma", "LZMAFile"), ("zipfile", "ZipFile"))

_is_done = False


def install() -> None:
    """Prepare, before any code of the user's runs."""
    # ipykernel's would end the kernel's output before the user's have printed.
    atexit._clear()
    # Neither the search for open files nor the garbage collector has to look at what is there before the user's code.
    gc.freeze()
    # The standard library's serve the user's code, too.
    if (processes := sys.modules.get("multiprocessing.util")) is not None:
        atexit.register(processes._exit_function)
    atexit.register(logging.shutdown)
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]


def wind_up() -> None:
    """Run the exit functions and write what open files have buffered; once."""
    global _is_done
    if not _is_done:
        _is_done = True
        atexit._run_exitfuncs()
        _write_buffers()


def _write_buffers() -> None:
    completed = {getattr(sys.modules[module], name) for module, name in COMPLETED if module in sys.modules}
    # From the outside in: text is encoded, then compressed, then written.
    orders = (
        ("flush", {io.TextIOWrapper}),
        ("close", completed),
        ("flush", {io.BufferedWriter, io.BufferedRandom}),
    )
    bases = set().union(*(bases for _, bases in orders))
    # Not by `isinstance`, which runs the code of proxies.
    objects = gc.get_objects()
    kinds = {kind for kind in set(map(type, objects)) if not bases.isdisjoint(kind.__mro__)}
    files = [found for found in objects if type(found) in kinds]
    for method, bases in orders:
        for file in files:
            if not bases.isdisjoint(type(file).__mro__):
                with suppress(Exception):
                    getattr(file, method)()

"""What a cluster's workers need of this package, and how it gets there.

Runs in the kernel, as `_smart_colab.worker_package`; standard library only. The workers have nothing of ours installed,
so the modules' compiled code is sent: they run the same version of Python.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
from typing import Any

# What runs on a worker, in import order.
WORKER_MODULES = ("loops", "tracebacks", "plain_values", "worker_side")
# Pickled by value, as parts of `__main__` are: the workers have nothing of ours yet.
CARRIER = """
import marshal, signal, sys, threading, types
from distributed import WorkerPlugin, get_worker

class SmartColab(WorkerPlugin):
    def __init__(self, name, package, modules, arguments, is_own):
        self.name, self.package, self.modules, self.arguments = name, package, modules, arguments
        self.is_own = is_own

    def setup(self, worker):
        # An interrupt of the session reaches its whole process group; the session ends its workers itself.
        if self.is_own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.package not in sys.modules:
            package = sys.modules[self.package] = types.ModuleType(self.package)
            package.__path__ = []
            for name, code in marshal.loads(self.modules).items():
                full = self.package + "." + name
                module = sys.modules[full] = types.ModuleType(full)
                module.__package__ = self.package
                setattr(package, name, module)
                exec(code, module.__dict__)
        sys.modules[self.package].worker_side.begin(self.name, **self.arguments)

    def teardown(self, worker):
        sys.modules[self.package].worker_side.end(self.name)

def run_batch(name, package, batch, numbers, shows_setup):
    def begins():
        get_worker().log_event(name, batch)
    return sys.modules[package].worker_side.run(name, numbers, shows_setup=shows_setup, begins=begins)
"""


class WorkerPackage:
    """The package that runs on workers, under a name that is new for each version of it."""

    def __init__(self) -> None:
        own = __name__.rpartition(".")[0]
        # The bootstrap leaves its code in each module.
        self._modules = marshal.dumps({name: sys.modules[f"{own}.{name}"].CODE for name in WORKER_MODULES})
        self.name = f"_smart_colab_{hashlib.sha256(self._modules).hexdigest()[:12]}"
        carrier: dict[str, Any] = {"__name__": "__main__"}
        exec(CARRIER, carrier)  # noqa: S102 - our own
        self._plugin = carrier["SmartColab"]
        # Runs a batch's iterations on a worker.
        self.run_batch = carrier["run_batch"]

    def plugin(self, key: str, arguments: dict[str, Any], *, is_own: bool) -> Any:
        """Return the plugin that readies each worker for an operation; `is_own`: they are the session's processes."""
        return self._plugin(key, self.name, self._modules, arguments, is_own)

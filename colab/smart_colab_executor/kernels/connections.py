"""Connections between the executor and a kernel, protected from other users of the machine.

A kernel's TCP ports are open to every user of the machine, who can read its output there. Here its sockets are in a
private folder; where that is not possible (Windows, a path too long) CurveZMQ is used, if the installed versions
support it.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

KERNEL_OPTIONS = (
    # The default file is shared with the user's own shells, and costs four disk syncs a cell.
    "--HistoryManager.hist_file=:memory:",
    # A pause before each reply, for clients that poll their channels one by one; we wait for all of a cell's end.
    "--Kernel._execute_sleep=0",
)
# Without the debugger, which no client of ours can use: loading it takes a fifth of a kernel's start.
LAUNCHER = """
import sys
sys.modules["debugpy"] = None
import ipykernel.debugger
del sys.modules["debugpy"]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""
FOLDER_PREFIX = "smart-colab-"
CONNECTION_FILE = "k.json"
SOCKETS = "k"
# jupyter_client numbers the five sockets from 1; number 0 is ours, to test that the folder supports sockets.
SOCKET_FILES = tuple(f"{SOCKETS}-{number}" for number in range(6))


class _ThisPython(KernelSpecManager):
    """Kernels run on the executor's own interpreter, whatever kernelspecs the machine has."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # -P: no file of the user's can shadow a module that the kernel needs to start.
        argv = [sys.executable, "-P", "-c", LAUNCHER, "-f", "{connection_file}", *KERNEL_OPTIONS]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python", metadata=self.metadata)

    metadata: dict[str, Any] = {}  # noqa: RUF012


def kernel_manager(folder: Path | None) -> AsyncKernelManager:
    """Return a manager for a kernel with its sockets in `folder`, or on TCP for None."""
    spec_manager = _ThisPython()
    where: dict[str, Any]
    if folder is not None:
        where = {"transport": "ipc", "ip": str(folder / SOCKETS), "connection_file": str(folder / CONNECTION_FILE)}
    elif hasattr(AsyncKernelManager, "transport_encryption") and zmq.has("curve"):
        from ipykernel.kernelspec import get_kernel_dict

        # The installed ipykernel declares whether it supports encryption.
        spec_manager.metadata = get_kernel_dict()["metadata"]
        where = {"transport_encryption": "auto"}
    else:
        where = {}
    return AsyncKernelManager(kernel_spec_manager=spec_manager, context=zmq.asyncio.Context(), **where)


def make_folder() -> Path | None:
    """Create a folder for a kernel's sockets that only this user can enter; return None if no place allows it."""
    if sys.platform == "win32" or not zmq.has("ipc"):
        return None
    # Not in the state folder: a socket's path may have about 100 characters.
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):  # noqa: S108
        if not parent:
            continue
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(str(folder / SOCKET_FILES[0]))
        except OSError:  # not every file system supports sockets
            if folder is not None:
                remove_folder(folder)
        else:
            return folder
    return None


def remove_folder(folder: Path) -> None:
    """Remove a folder made by `make_folder`, and nothing else."""
    if not folder.name.startswith(FOLDER_PREFIX) or folder.is_symlink():
        return
    with suppress(OSError):
        for name in (CONNECTION_FILE, *SOCKET_FILES):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()

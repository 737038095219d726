"""A script: the process from which kernels are forked, which has imported what every kernel needs.

Its argument is the number of a socket. The first message there has the descriptor of a script, which is run before all
else. Every other one asks for a kernel, as JSON, with a descriptor for it; the answer is the kernel's pid and that
descriptor's number. A kernel's end is reported as its pid and its exit code. At the end of the socket the process ends,
and kills its kernels with what they have started: nobody else would. Standard library and ipykernel only.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_MESSAGE_BYTES = 65_536
# What a kernel imports at its start, beside `ipykernel.kernelapp`, in the versions that have it.
IMPORTED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.debugger_backport",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
    "unicodedata",
)


def main() -> None:
    """Serve; in a forked process, be a kernel."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    # ipykernel looks at it as it is imported: a kernel ends with its parent, which is this process.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    run = _kernel_app()
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    _, scripts, *_ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 1)
    for script in scripts:
        os.lseek(script, 0, os.SEEK_SET)
        with os.fdopen(script, encoding="ascii") as file:
            exec(file.read(), {})  # noqa: S102 - our own
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - a thread would be missing in the kernels
        return
    asked = _serve(channel)
    if asked is not None:
        os.setsid()
        with suppress(OSError):
            Path("/proc/self/comm").write_text("kernel", "ascii")  # for `ps` and `top`
        os.chdir(asked["folder"])
        run(argv=asked["arguments"])


def _kernel_app() -> Any:
    # Without the debugger, which no client of ours can use: loading it takes a fifth of a kernel's start.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]
    return importlib.import_module("ipykernel.kernelapp").launch_new_instance


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork a kernel for each message; return what was asked for in the kernel, and None at the socket's end."""
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    living: set[int] = set()
    while True:
        readable, _, _ = select.select([channel.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, MAX_MESSAGE_BYTES)
            for pid, code in _ended():
                living.discard(pid)
                _answer(channel, pid=pid, code=code)
        if channel.fileno() in readable:
            message, descriptors, *_ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 1)
            if not message:
                for pid in living:
                    with suppress(OSError):  # its group, of which it may be no leader yet, or it has ended
                        os.killpg(pid, signal.SIGKILL)
                return None
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wakes)
                channel.close()
                asked: dict[str, Any] = json.loads(message)
                return asked
            living.add(pid)
            _answer(channel, pid=pid, handle=descriptors[0] if descriptors else None)
            for descriptor in descriptors:
                os.close(descriptor)


def _ended() -> list[tuple[int, int]]:
    ended = []
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def _answer(channel: socket.socket, **answer: int | None) -> None:
    with suppress(OSError):  # at the socket's end
        channel.send(json.dumps(answer).encode())


if __name__ == "__main__":
    main()

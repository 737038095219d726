"""Starts the process from which kernels are forked (see fork_server_process), before anything else is imported."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from .environment import environment

SCRIPT = Path(__file__).with_name("fork_server_process.py")


class Started(NamedTuple):
    """The process, and our end of its socket."""

    process: subprocess.Popen[bytes]
    channel: socket.socket

    def end(self) -> None:
        """End it, after its kernels."""
        self.process.kill()
        self.process.wait()


def start() -> Started | None:
    """Start it, on Linux, where forking is safe; return None where kernels cannot be forked."""
    if sys.platform != "linux":
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        process = subprocess.Popen(
            # -P: no file of the user's can shadow a module that the kernel needs to start.
            [sys.executable, "-P", str(SCRIPT), str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
    return Started(process, ours)

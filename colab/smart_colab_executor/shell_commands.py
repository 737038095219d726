"""Runs `!command` lines: with a terminal for what they print, and nothing to read.

Runs in the kernel, as `_smart_colab.shell_commands`; standard library alone, for systems that have pseudo-terminals.
IPython gives such a command a terminal to read from too, so that one with a question (`rm -i`, a child's `input()`)
waits for ever.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import Any

ROWS, COLUMNS = 24, 80
READ_BYTES = 64 * 1024
POLL_SEC = 0.05
# How long an interrupted command may tidy up, and one that was then asked to end.
INTERRUPT_GRACE_SEC = 2.0
TERMINATION_GRACE_SEC = 0.5


def install(shell: Any) -> None:
    """Take the shell's `system` over, which `!command` calls."""

    def system(command: str) -> None:
        if command.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        # With the variables of the frame that called this.
        code = run(shell.var_expand(command, depth=1))
        shell.user_ns["_exit_code"] = code
        if code and getattr(shell, "system_raise_on_error", False):
            raise subprocess.CalledProcessError(code, command)

    shell.system = shell.system_piped = system


def run(command: str) -> int:
    """Run a command line and print what it prints as it comes; its exit code, or minus the signal that ended it."""
    # In the shell that IPython takes.
    shell = shutil.which(os.environ.get("SHELL", "sh")) or "/bin/sh"
    screen, terminal = _terminal()
    try:
        # It stays in the kernel's group: what interrupts or kills the kernel reaches it too.
        process = subprocess.Popen([shell, "-c", command], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    except BaseException:
        os.close(screen)
        raise
    finally:
        os.close(terminal)
    try:
        _show(screen, process)
    except KeyboardInterrupt:
        _end(screen, process)
        raise
    finally:
        os.close(screen)
    # A shell says 128 and more for a child that a signal ended.
    code = process.wait()
    return 128 - code if code > 128 else code


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal: its screen's side, and one that can only be written to."""
    screen, terminal = pty.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        modes = termios.tcgetattr(terminal)
        modes[1] &= ~termios.OPOST  # a line ends in \n
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        # A pager asks its standard error for keys, where it finds nothing else to read.
        return screen, os.open(os.ttyname(terminal), os.O_WRONLY | os.O_NOCTTY)
    except BaseException:
        os.close(screen)
        raise
    finally:
        os.close(terminal)


def _show(screen: int, process: subprocess.Popen[bytes], until: float | None = None) -> None:
    """Print what comes until the process ends (what it started may live on and hold the terminal), or so long."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while until is None or time.monotonic() < until:
        has_ended = process.poll() is not None
        is_there, _, _ = select.select([screen], [], [], 0 if has_ended else POLL_SEC)
        data = b""
        if is_there:
            with suppress(OSError):  # on Linux, when nobody has the other side open
                data = os.read(screen, READ_BYTES)
        if text := decoder.decode(data):
            sys.stdout.write(text)
        if not data and (has_ended or is_there):
            break
    sys.stdout.write(decoder.decode(b"", final=True))


def _end(screen: int, process: subprocess.Popen[bytes]) -> None:
    """See to it that a command ends that was interrupted with us."""
    for grace, end in (
        (INTERRUPT_GRACE_SEC, process.terminate),
        (TERMINATION_GRACE_SEC, process.kill),
        (TERMINATION_GRACE_SEC, process.kill),
    ):
        _show(screen, process, time.monotonic() + grace)
        if process.poll() is not None:
            return
        end()

"""Runs `!command` lines with a terminal for output and no input.

Runs in the kernel, as `_smart_colab.shell_commands`; standard library only, for systems with pseudo-terminals. IPython
also gives such a command a terminal as its input, so that one with a question (`rm -i`, a child's `input()`) waits
forever. A program that reads single keys (an editor, a menu, `top`) opens the terminal by name or reads from its
standard error: it is terminated after it has waited for a while.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import origins
from .messages import FAILED_TYPE

if TYPE_CHECKING:
    from .kernel_output import Output

ROWS, COLUMNS = 24, 80
NAME_CHARS = 60
READ_BYTES = 64 * 1024
POLL_INTERVAL_SEC = 0.05
# How long an interrupted command may clean up, and how long a terminated one.
INTERRUPT_GRACE_SEC = 2.0
TERMINATION_GRACE_SEC = 0.5
# A program that only draws on the screen may end by itself within this time.
KEYS_TIMEOUT_SEC = 2.0
NO_KEYS = (
    "[ended: the command switched the terminal to single-key input, and no key can be pressed here. Show a file with "
    "cat, edit it by code, and pass answers to a program as options]\n"
)
# A pager whose output is not a terminal prints everything.
PAGERS = "".join(f'{name}() {{ command {name} "$@" | cat; }}; ' for name in ("less", "more"))
PAGER = re.compile(r"\b(less|more)\b")
PATH_OF_PYTHON = re.compile(r"('/[^']*/python[\d.]*'|/[^\s'\"]*/python[\d.]*)(?!\S)")
SHELLS_WITH_FUNCTIONS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})


def install(shell: Any, output: Output) -> None:
    """Replace the shell's `system`, which `!command` calls."""
    # A program that opens an editor (`git commit`) fails at once with a message, however it is run.
    if "VISUAL" not in os.environ:
        os.environ.setdefault("EDITOR", "false")

    def system(command: str) -> None:
        if command.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        # With the variables of the frame that called this.
        code = run(shell.var_expand(command, depth=1), _shortened(command))
        shell.user_ns["_exit_code"] = code
        if code:
            output.send(FAILED_TYPE, {"exit_code": code}, origins.current())
        if code and getattr(shell, "system_raise_on_error", False):
            raise subprocess.CalledProcessError(code, command)

    shell.system = shell.system_piped = system


def run(command: str, name: str) -> int:
    """Run a command line and print its output as it arrives; return its exit code, or minus the fatal signal.

    `name`: shown when it fails, without values of variables, which may be secrets.
    """
    # The shell that IPython would use.
    shell = shutil.which(os.environ.get("SHELL", "sh")) or "/bin/sh"
    if PAGER.search(command) and Path(shell).name in SHELLS_WITH_FUNCTIONS:
        command = PAGERS + command
    screen, terminal = _terminal()
    try:
        # It stays in the kernel's process group, so that signals to the group reach it too.
        process = subprocess.Popen([shell, "-c", command], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    except BaseException:
        os.close(screen)
        raise
    finally:
        os.close(terminal)
    needs_keys = False
    try:
        if needs_keys := not _show(screen, process):
            _end(screen, process)
            sys.stderr.write(NO_KEYS)
    except KeyboardInterrupt:
        _show(screen, process, time.monotonic() + INTERRUPT_GRACE_SEC)
        _end(screen, process)
        raise
    finally:
        os.close(screen)
    # A shell reports 128 plus the signal for a child that a signal ended.
    code = process.wait()
    code = 128 - code if code > 128 else code
    if code and not needs_keys:
        sys.stderr.write(f"[`{name}` {_ending(code)}]\n")
    return code


def _shortened(command: str) -> str:
    command = command.strip()
    # `%pip` runs the kernel's Python by its full path.
    if python := PATH_OF_PYTHON.match(command):
        command = f"python{command[python.end() :]}"
    lines = command.splitlines() or [""]
    is_whole = len(lines) == 1 and len(lines[0]) <= NAME_CHARS
    return lines[0] if is_whole else f"{lines[0][:NAME_CHARS]}…"


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a shell's own exit status over 128
        return f"ended with exit status {128 - code}"


def _terminal() -> tuple[int, int]:
    """Open a pseudo-terminal; return its master side, and a write-only slave side."""
    screen, terminal = pty.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        modes = termios.tcgetattr(terminal)
        modes[1] &= ~termios.OPOST  # a line ends in \n
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        return screen, os.open(os.ttyname(terminal), os.O_WRONLY | os.O_NOCTTY)
    except BaseException:
        os.close(screen)
        raise
    finally:
        os.close(terminal)


def _show(screen: int, process: subprocess.Popen[bytes], until: float | None = None) -> bool:
    """Print output until the process ends (its children may keep the terminal open), or until `until`.

    Without `until`, also stop when the process waits for keys, and return False then.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    asked_at: float | None = None
    waits = False
    while not waits and (until is None or time.monotonic() < until):
        has_ended = process.poll() is not None
        is_there, _, _ = select.select([screen], [], [], 0 if has_ended else POLL_INTERVAL_SEC)
        data = b""
        if is_there:
            with suppress(OSError):  # on Linux, when the other side is closed
                data = os.read(screen, READ_BYTES)
        if text := decoder.decode(data):
            sys.stdout.write(text)
        if not data and (has_ended or is_there):
            break
        if until is None:
            asked_at = (asked_at or time.monotonic()) if _wants_keys(screen) else None
            waits = asked_at is not None and time.monotonic() - asked_at > KEYS_TIMEOUT_SEC
    sys.stdout.write(decoder.decode(b"", final=True))
    return not waits


def _wants_keys(screen: int) -> bool:
    """Return whether a program has set the terminal to single-key input."""
    with suppress(termios.error):
        return not termios.tcgetattr(screen)[3] & termios.ICANON
    return False


def _end(screen: int, process: subprocess.Popen[bytes]) -> None:
    """Terminate a command and its children, and kill those that remain."""
    family = _family(process.pid) if process.poll() is None else []
    for kind in (signal.SIGTERM, signal.SIGKILL):
        family = [pid for pid in family if _signal_process(pid, kind)]
        until = time.monotonic() + TERMINATION_GRACE_SEC
        while family and time.monotonic() < until:
            _show(screen, process, time.monotonic() + POLL_INTERVAL_SEC)
            time.sleep(POLL_INTERVAL_SEC)
            family = [pid for pid in family if _signal_process(pid, 0)]


def _signal_process(pid: int, kind: int) -> bool:
    """Send a signal, 0 for none; return whether the process exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, kind)
        return True
    return False


def _family(root: int) -> list[int]:
    """Return a process and its descendants, if the system lists them."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before it may contain anything.
            children[int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])].append(
                int(stat.parent.name)
            )
    family = [root]
    for pid in family:
        family += children[pid]
    return family

"""Gives child processes started by the code of an earlier cell that cell's pipes while another cell runs.

Runs in the kernel, as `_smart_colab.children`, except on Windows; standard library only. Descriptors 1 and 2 belong to
the process, and lead to the pipes of the running cell. A thread or a task that outlives its cell gets that cell's
pipes for the processes it starts. A file or a pipe that the code chooses itself is kept.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from .forks import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Ends = Callable[[], AbstractContextManager[dict[int, int]]]


def install(ends: Ends, is_running_cells: Callable[[int], bool]) -> None:
    """Patch all functions that start a process.

    `ends` lends the write ends that replace descriptors for the calling code; none if that belongs to the running cell.
    `is_running_cells` returns whether a descriptor leads to a pipe of the running cell.
    """
    subprocess.Popen.__init__ = _opening(subprocess.Popen.__init__, ends)  # type: ignore[method-assign]
    os.system = _system(os.system, ends)  # type: ignore[assignment]
    for name in ("posix_spawn", "posix_spawnp"):
        if (spawn := getattr(os, name, None)) is not None:
            setattr(os, name, _spawning(spawn, ends))
    _follow_forks(ends, is_running_cells)
    for descriptor, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        with suppress(AttributeError):
            stream.buffer.write = _writing(stream.buffer.write, descriptor, ends)  # type: ignore[method-assign, union-attr, arg-type]


def _opening(start: Callable[..., None], ends: Ends) -> Callable[..., None]:
    @functools.wraps(start)
    def open_here(
        process: Any,
        args: Any,
        bufsize: int = -1,
        executable: Any = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        *rest: Any,
        **options: Any,
    ) -> None:
        with ends() as own:
            outputs = (_led(stdout, 1, own), _led(stderr, 2, own))
            start(process, args, bufsize, executable, stdin, *outputs, *rest, **options)

    return open_here


def _led(output: Any, descriptor: int, own: dict[int, int]) -> Any:
    """Return the output for a child: the replacement if the code means descriptor 1 or 2."""
    if not own:
        return output
    if output is not None:
        try:
            descriptor = output if isinstance(output, int) else output.fileno()
        except Exception:  # noqa: BLE001, RUF100 - a user's own stream may raise anything
            return output
    return own.get(descriptor, output)


def _system(system: Callable[[Any], int], ends: Ends) -> Callable[[Any], int]:
    @functools.wraps(system)
    def system_here(command: Any) -> int:
        with ends() as own:
            if not own:
                return system(command)
        code = subprocess.Popen(command, shell=True, close_fds=False).wait()  # noqa: S602 - what os.system does
        return code << 8 if code >= 0 else -code

    return system_here


def _spawning(spawn: Callable[..., int], ends: Ends) -> Callable[..., int]:
    @functools.wraps(spawn)
    def spawn_here(*arguments: Any, file_actions: Any = None, **options: Any) -> int:
        with ends() as own:
            led = [(os.POSIX_SPAWN_DUP2, end, descriptor) for descriptor, end in own.items()]
            return spawn(*arguments, file_actions=[*led, *(file_actions or ())], **options)

    return spawn_here


def _follow_forks(ends: Ends, is_running_cells: Callable[[int], bool]) -> None:
    forking = threading.local()

    def before() -> None:
        forking.stack = ExitStack()
        forking.own = forking.stack.enter_context(ends())

    def in_child() -> None:
        for descriptor, end in forking.own.items():
            if is_running_cells(descriptor):  # and not a terminal of the child's
                os.dup2(end, descriptor)
        forking.stack.close()

    os.register_at_fork(before=before, after_in_parent=lambda: forking.stack.close(), after_in_child=in_child)


def _writing(write: Callable[[Any], int], descriptor: int, ends: Ends) -> Callable[[Any], int]:
    def write_here(data: Any) -> int:
        with ends() as own:
            if descriptor not in own:
                return write(data)
            return write_bytes(own[descriptor], bytes(data))

    return write_here

"""Kernels that are forked from one process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from harness import Executor

from smart_colab_executor.kernels import fork_server
from smart_colab_executor.kernels.fork_server import ForkServer, NoForkServer
from smart_colab_executor.kernels.fork_server_start import Started

Start = Callable[..., Executor]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are started there")

# What would differ if a kernel were not like a new process of its own.
SHOW = """
import json, os, random, shutil, signal, sys, threading, uuid
print(json.dumps({
    "own": [os.getpid(), os.getsid(0), random.random(), str(uuid.uuid4())],
    "parent": os.getppid(),
    "argv": sys.argv,
    "path": [entry for entry in sys.path if entry in ("", os.getcwd())],
    "folder": os.getcwd(),
    "backend": os.environ["MPLBACKEND"],
    "python": shutil.which(os.path.basename(sys.executable)),
    "secret": os.environ.get("SMART_COLAB_TOKEN"),
    "signals": [signal.getsignal(one) is default for one, default in (
        (signal.SIGINT, signal.default_int_handler), (signal.SIGCHLD, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)
    )],
    "wakes": signal.set_wakeup_fd(-1),
    "input": os.readlink("/proc/self/fd/0"),
    "modules": [name for name in sys.modules if "smart_colab_executor" in name or "fork_server" in name],
    "main": vars(sys.modules["__main__"]).get("__file__"),
}))
"""


def test_forked_kernels_are_like_started_ones_and_outlive_their_server_s_death(start: Start, tmp_path: Path) -> None:
    executor = start()
    first, second = (json.loads(executor.run(SHOW, session=name).stdout) for name in ("main", "other"))
    assert all(one != other for one, other in zip(first.pop("own"), second.pop("own"), strict=True))
    assert first == second
    server = psutil.Process(first.pop("parent"))
    assert server.ppid() == executor.process.pid
    assert {kernel.name() for kernel in server.children()} == {"kernel"}
    assert first == {
        "argv": ["cell"],
        "path": ["", str(tmp_path)],
        "folder": str(tmp_path),
        "backend": "module://matplotlib_inline.backend_inline",
        "python": sys.executable,
        "secret": None,
        "signals": [True, True, True],
        "wakes": -1,
        "input": "/dev/null",
        "modules": [],
        "main": None,
    }
    job_id = executor.submit("print('on', flush=True)\nimport time\ntime.sleep(600)")
    executor.wait_for_output(job_id, "on")

    server.kill()

    job = executor.follow(job_id)
    assert (job.state, job.reason, job.stdout) == ("failed", "kernel_died", "on\n")
    assert job.job["kernel_exit"] == {"signal": None, "code": None, "out_of_memory": False, "orphaned": True}
    after = json.loads(executor.run(SHOW).stdout)
    assert after["parent"] == executor.process.pid
    alike = ("argv", "path", "folder", "backend", "python", "secret", "signals", "wakes", "input", "modules", "main")
    assert {name: after[name] for name in alike} == {name: first[name] for name in alike}


def test_a_kernel_that_starts_after_an_installation_imports_the_new_packages(start: Start, tmp_path: Path) -> None:
    executor = start(env={"PYTHONUSERBASE": str(tmp_path / "user")})
    parent = "import os, site; print(os.getppid())"
    forked = int(executor.run(parent).stdout)
    assert forked != executor.process.pid
    executor.run("os.makedirs(site.getusersitepackages() + '/installed')")
    assert int(executor.run(parent, session="other").stdout) == executor.process.pid
    assert int(executor.run(parent).stdout) == forked


def test_a_server_that_does_not_answer_is_given_up_and_its_late_kernel_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_TIMEOUT_SEC", 0.05)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def answer(kernel: subprocess.Popen[bytes]) -> None:
        theirs.send(json.dumps({"pid": kernel.pid, "handle": None}).encode())

    async def try_it(kernel: subprocess.Popen[bytes], late: subprocess.Popen[bytes]) -> None:
        server = ForkServer(Started(kernel, ours))
        answer(kernel)
        living = await server.fork("/", [], None)
        with pytest.raises(NoForkServer):
            await server.fork("/", [], None)
        assert not server.is_usable
        answer(late)
        assert await asyncio.to_thread(late.wait, 60) == -signal.SIGKILL
        assert kernel.poll() is None
        kernel.kill()
        await server.wait_for_end(living)  # the end of a kernel is not told, either

    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with theirs, ours, subprocess.Popen(sleep) as kernel, subprocess.Popen(sleep) as late:
        try:
            asyncio.run(try_it(kernel, late))
        finally:
            kernel.kill()
            late.kill()

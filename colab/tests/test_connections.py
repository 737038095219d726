"""A kernel can be reached only by this user."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.kernels import connections
from smart_colab_executor.kernels.kernel import Kernel
from smart_colab_executor.kernels.leftovers import KernelNotes
from smart_colab_executor.kernels.workspace import Workspace
from smart_colab_executor.machine.probe import memory

Start = Callable[..., Executor]
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows' kernels are reached over TCP")


def socket_folders(executor: Executor) -> list[Path]:
    notes = (executor.root / ".smart_colab" / "kernels").glob("*.json")
    return [Path(json.loads(note.read_bytes())["sockets"]) for note in notes]


@unix
def test_a_kernels_sockets_are_private_to_the_user(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    executor = start(env={"XDG_RUNTIME_DIR": str(folder)})
    assert executor.run("print('reached')").stdout == "reached\n"
    [sockets] = socket_folders(executor)
    assert sockets.parent == folder
    assert stat.S_IMODE(sockets.stat().st_mode) & 0o077 == 0
    connection = json.loads((sockets / "k.json").read_bytes())
    assert connection["transport"] == "ipc"
    assert all(
        stat.S_ISSOCK((sockets / f"k-{connection[port]}").stat().st_mode) for port in ("shell_port", "iopub_port")
    )
    executor.post("/sessions/main/restart")
    assert [sockets] != socket_folders(executor)
    assert list(folder.iterdir()) == socket_folders(executor)
    executor.post("/shutdown")
    executor.process.wait(40)
    assert list(folder.iterdir()) == []


@unix
def test_the_sockets_of_a_killed_executor_are_removed_by_the_next(start: Start) -> None:
    first = start()
    first.run("1")
    [left] = socket_folders(first)
    for kernel in first.kernels():
        kernel.suspend()  # otherwise it might remove some of them itself
    first.process.kill()
    first.process.wait()
    assert left.is_dir()
    second = start()
    assert not left.exists()
    assert second.run("print(1)").stdout == "1\n"


@unix
@pytest.mark.parametrize("unusable", ["x" * 100, "missing", "file/below"])
def test_a_folder_that_supports_no_sockets_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unusable: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / ("x" * 100)).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / unusable))
    folder = connections.make_folder()
    assert folder is not None
    assert not folder.is_relative_to(tmp_path)
    connections.remove_folder(folder)
    assert not folder.exists()
    assert sorted(os.listdir(tmp_path)) == sorted(["file", "x" * 100])  # noqa: PTH208
    assert list((tmp_path / ("x" * 100)).iterdir()) == []


def test_tcp_is_used_without_a_folder_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "make_folder", lambda: None)
    shown: list[Any] = []

    async def run() -> None:
        kernel = Kernel(Workspace(tmp_path), KernelNotes(tmp_path / "kernels"))
        await kernel.start()
        try:
            execution = kernel.submit(
                "0193", "print('reached')", lambda kind, content: shown.append(content.get("text")), memory()
            )
            await kernel.finish(execution)
            process: Any = kernel._process
            manager = process._manager
            assert manager.transport == "tcp"
            if hasattr(manager, "transport_encryption"):
                assert manager.curve_secretkey is not None
        finally:
            await kernel.discard()

    asyncio.run(run())
    assert "reached\n" in shown


def test_only_socket_folders_are_removed(tmp_path: Path) -> None:
    other, ours, full = tmp_path / "other", tmp_path / "smart-colab-x", tmp_path / "smart-colab-full"
    for folder in (other, ours, full):
        folder.mkdir()
        (folder / "k-1").touch()
    (full / "kept").touch()
    for folder in (other, ours, full, tmp_path / "smart-colab-missing"):
        connections.remove_folder(folder)
    assert (other / "k-1").exists()
    assert not ours.exists()
    assert [file.name for file in full.iterdir()] == ["kept"]


def test_a_kernel_starts_without_the_debugger_which_code_can_still_import(executor: Executor, session: str) -> None:
    loaded = "[name for name in sys.modules if name.startswith(('debugpy', 'pydevd'))]"
    done = executor.run(f"import sys\nprint({loaded})\nimport debugpy\nprint(debugpy.__name__)", session=session)
    assert done.stdout == "[]\ndebugpy\n", done.events

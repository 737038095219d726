"""Kernels that an executor left behind when it was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import Executor, wait_until

from smart_colab_executor.kernels.leftovers import KernelNotes

Start = Callable[..., Executor]
NOTE = "0193"


@contextmanager
def process_with_a_child() -> Iterator[list[psutil.Process]]:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('there', flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        process = psutil.Process(parent.pid)
        family = [process, *process.children()]
        try:
            yield family
        finally:
            for member in family:
                if member.is_running():
                    member.kill()


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def notes_of(executor: Executor) -> list[dict[str, Any]]:
    notes = [json.loads(note.read_bytes()) for note in kept(executor, "json")]
    return [note for note in notes if "pid" in note]  # of kernels that have started


def kept(executor: Executor, kind: str) -> list[Path]:
    return sorted((executor.root / ".smart_colab" / "kernels").glob(f"*.{kind}"))


def test_a_recorded_process_is_ended_with_its_children(tmp_path: Path) -> None:
    notes = KernelNotes(tmp_path)
    with process_with_a_child() as family:
        assert len(family) == 2
        notes.add(NOTE, family[0].pid)
        notes.end_leftovers()
        assert not any(map(lives, family))
    assert list(tmp_path.iterdir()) == []


def test_journals_of_ended_kernels_are_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = KernelNotes(tmp_path)
    with process_with_a_child() as family, monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "kill", lambda process: None)
        notes.add(NOTE, family[0].pid)
        for kernel in (NOTE, "gone"):
            notes.journal(kernel).touch()
        notes.journal("folder").mkdir()
        assert [journal.path for journal in notes.end_leftovers(0)] == [notes.journal("gone")]
    # With its record it stays for the next start.
    assert {journal.path.stem for journal in notes.end_leftovers(0)} == {NOTE, "gone"}
    assert not (tmp_path / f"{NOTE}.json").exists()


@pytest.mark.parametrize("other", [{"created": 1.0}, {"pid": os.getpid()}, {"pid": 2**22 + 7}, {"pid": -1}, {"pid": 0}])
def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path, other: dict[str, Any]) -> None:
    notes = KernelNotes(tmp_path)
    with process_with_a_child() as family:
        notes.add(NOTE, family[0].pid)
        [path] = tmp_path.iterdir()
        path.write_text(json.dumps(json.loads(path.read_text()) | other))
        notes.end_leftovers()
        assert all(map(lives, family))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"pid":"x","created":1}', b'{"pid":1e999,"created":1}'])
def test_an_unreadable_record_ends_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{NOTE}.json").write_bytes(content)
    KernelNotes(tmp_path).end_leftovers()
    KernelNotes(tmp_path / "missing").end_leftovers()


def test_an_ended_process_is_not_recorded(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    KernelNotes(tmp_path).add(NOTE, process.pid)
    assert list(tmp_path.iterdir()) == []


def test_each_kernel_is_recorded_while_it_runs(start: Start) -> None:
    executor = start()
    executor.run("1")
    executor.run("1", session="other")
    assert {note["pid"] for note in notes_of(executor)} == {kernel.pid for kernel in executor.kernels()}
    executor.call("DELETE", "/sessions/other")
    executor.run("import os\nos._exit(1)")
    wait_until(lambda: executor.session()["state"] == "idle")
    assert [note["pid"] for note in notes_of(executor)] == [kernel.pid for kernel in executor.kernels()]
    executor.post("/shutdown")
    executor.process.wait(40)
    assert kept(executor, "*") == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal that stops a process")
def test_a_leftover_kernel_is_ended_before_its_jobs_are_read_back(start: Start) -> None:
    first = start()
    job_id = first.submit(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    first.wait_for_output(job_id, "\n")
    kernels = first.kernels()
    family = [*kernels, *(child for kernel in kernels for child in kernel.children())]
    assert len(family) == 2
    for process in kernels:
        process.suspend()  # otherwise it might notice that its executor has ended
    first.process.kill()
    first.process.wait()
    second = start()
    assert not any(map(lives, family))
    assert second.follow(job_id).reason == "executor_restarted"
    assert {note["pid"] for note in notes_of(second)} <= {kernel.pid for kernel in second.kernels()}
    assert len(kept(second, "journal")) <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups")
@pytest.mark.parametrize("is_forked", [True, False], ids=["forked", "started"])
def test_what_code_started_ends_with_a_killed_executor(start: Start, *, is_forked: bool) -> None:
    executor = start()
    if not is_forked:
        executor.run("1")
        for process in psutil.Process(executor.process.pid).children():
            process.kill()  # on Linux the one from which kernels are forked
    code = "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    child = psutil.Process(int(executor.run(code, session="other").stdout))
    executor.process.kill()
    wait_until(lambda: not lives(child))

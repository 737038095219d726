"""Unreadable files in a state folder are set aside and logged, and the executor starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.core import spoiled
from smart_colab_executor.core.errors import JobConflict
from smart_colab_executor.files.partials import remove_leftovers
from smart_colab_executor.jobs.history import note_boot
from smart_colab_executor.jobs.request import JobRequest
from smart_colab_executor.jobs.store import JobStore
from smart_colab_executor.kernels.leftovers import KernelNotes
from smart_colab_executor.machine.state_lock import take

Start = Callable[..., Executor]
DEEP = b'{"a":' * 100_000
SPOILED = [b"", b"\xff\xfe\x00", DEEP, b"[" * 100_000, b"null", b"[]", b"5", b'"x"', b"{}", b"{", b"\0" * 4096]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def kept_job(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Create a finished job as an executor leaves it; return its folder and record."""
    store = JobStore(folder, str(uuid.uuid4()))
    store.load({})
    job, _ = store.add(str(uuid.uuid4()), JobRequest("1"))
    job.spool.append({"type": "started", "kernel_id": "k", "execution_count": 1})
    job.spool.close()
    store.close()
    return job.folder, json.loads((job.folder / "job.json").read_bytes())


def test_an_executor_starts_with_any_spoiled_files(start: Start) -> None:
    first = start()
    good, bad, worse = (first.run("print('kept')").job["id"] for _ in range(3))
    first.post("/shutdown")
    first.process.wait(40)
    state = first.root / ".smart_colab"
    (state / "boots").write_bytes(b"\xff\xfe")
    (state / "boots.partial").mkdir()
    (state / "audit.jsonl").unlink(missing_ok=True)
    (state / "audit.jsonl").mkdir()
    (state / "lock").unlink()
    (state / "lock").mkdir()
    (state / "uploads").write_text("a file")
    (state / "jobs" / bad / "job.json").write_bytes(DEEP)
    (state / "jobs" / worse / "events.jsonl").write_bytes(DEEP + b"\n")
    (state / "jobs" / "a file").touch()
    shutil.rmtree(state / "kernels")
    (state / "kernels").mkdir()
    (state / "kernels" / "note.json").write_bytes(DEEP)
    (state / "kernels" / "folder.json").mkdir()
    second = start()
    assert second.follow(good).stdout == "kept\n"
    assert second.call("GET", f"/jobs/{bad}").status == 404
    assert second.call("PUT", f"/jobs/{bad}", {"code": "print('kept')"}).json["code"] == "job_conflict"
    assert second.call("GET", f"/jobs/{worse}").status == 200
    assert second.run("print(1)").stdout == "1\n"
    assert second.call("GET", f"/files/upload?path=x&size=1&sha256={'0' * 64}").status == 200
    aside = {"boots", "boots.partial", "audit.jsonl", "lock", "uploads"}
    assert {f"{name}.unreadable" for name in aside} <= names(state)
    assert {"note.json.unreadable", "folder.json.unreadable"} <= names(state / "kernels")
    said = second.log.read_text()
    assert "Traceback" not in said
    for name in (*aside, f"jobs/{bad}", "kernels/note.json", "kernels/folder.json"):
        assert f"{name} cannot be read" in said, name
    second.post("/shutdown")
    second.process.wait(40)
    assert start().follow(good).stdout == "kept\n"


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        # The path itself may be too long for an address.
        listener.bind(short := tempfile.mktemp())
    shutil.move(short, path)


NO_FILES: dict[str, Callable[[Path], object]] = {"folder": Path.mkdir}
if sys.platform != "win32":
    NO_FILES |= {"FIFO": os.mkfifo, "socket": put_socket, "device": lambda path: path.symlink_to("/dev/zero")}


@pytest.mark.parametrize("put", NO_FILES.values(), ids=list(NO_FILES))
def test_an_executor_starts_when_files_are_replaced_by_other_things(
    start: Start, put: Callable[[Path], object]
) -> None:
    first = start()
    good, bad, worse = (first.run("print('kept')").job["id"] for _ in range(3))
    first.post("/shutdown")
    first.process.wait(40)
    state = first.root / ".smart_colab"
    of_a_job = [state / "jobs" / worse / name for name in ("events.jsonl", "log.txt", "reports.jsonl")]
    notes = [state / name for name in ("kernels/0193.json", "kernels/0193.journal", "uploads/0193.json")]
    aside = [state / name for name in ("lock", "boots", "boots.partial", "jobs.db", "audit.jsonl", "audit.1.jsonl")]
    aside += of_a_job + notes
    record = state / "jobs" / bad / "job.json"
    for path in (*aside, record):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        put(path)
    second = start()
    said = second.log.read_text()
    assert "Traceback" not in said
    assert second.follow(good).stdout == "kept\n"
    assert second.call("GET", f"/jobs/{bad}").status == 404
    assert second.call("PUT", f"/jobs/{bad}", {"code": "print('kept')"}).json["code"] == "job_conflict"
    assert second.call("GET", f"/jobs/{worse}").status == 200
    assert second.run("print(1)").stdout == "1\n"
    for path in aside:
        assert os.path.lexists(f"{path}.unreadable"), path
        assert f"{path.parent.name}/{path.name} cannot be read (not a regular file) and was set aside" in said
    assert f"jobs/{bad} cannot be read back" in said


@pytest.mark.parametrize("content", SPOILED)
def test_no_spoiled_record_prevents_a_start(
    tmp_path: Path, open_store: Callable[..., JobStore], content: bytes
) -> None:
    for name in ("kernels/0193.json", "uploads/0193.json", "jobs/0193/job.json", "boots"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with take(tmp_path):
        assert "new" in note_boot(tmp_path, "new")
    assert KernelNotes(tmp_path / "kernels").end_leftovers() == []
    remove_leftovers(tmp_path / "uploads", at_start=True)
    store = open_store(tmp_path / "jobs", "new")
    assert store.newest(None, None, 10) == []
    assert names(tmp_path / "kernels") == {"0193.json.unreadable"}
    assert names(tmp_path / "uploads") <= {"0193.json.unreadable"}


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("record", "created_at", 5),
        ("record", "created_at", None),
        ("record", "finished_at", ["2026"]),
        ("record", "state", "nonsense"),
        ("record", "state", []),
        ("record", "last_seq", "1"),
        ("record", "last_seq", True),
        ("record", "execution_time_sec", "long"),
        ("record", "kernel_exit", []),
        ("record", "variables_lost", 1),
        ("record", "unknown", 1),
        ("record", "id", "8ba4f3c0-52a4-4e0c-9d8e-0d6f2a0c7b11"),
        ("request", "code", 5),
        ("request", "session", "a b"),
        ("request", "timeout_sec", "long"),
        ("request", "loop", [1]),
        ("request", "kernel_id", 5),
    ],
)
def test_a_malformed_record_is_kept_and_never_run_again(
    tmp_path: Path, open_store: Callable[..., JobStore], part: str, field: str, value: object
) -> None:
    (folder, saved), (other, _) = kept_job(tmp_path), kept_job(tmp_path)
    saved[part][field] = value
    (folder / "job.json").write_text(json.dumps(saved))
    store = open_store(tmp_path)
    assert [job.id for job in store.newest(None, None, 10)] == [other.name]
    assert all(job.describe() for job in store.newest(None, None, 10))
    with pytest.raises(JobConflict, match="cannot be read"):
        store.add(folder.name, JobRequest("1"))


def test_anything_in_place_of_a_jobs_file_is_set_aside(tmp_path: Path, open_store: Callable[..., JobStore]) -> None:
    folder, _ = kept_job(tmp_path)
    (folder / "log.txt").mkdir()
    (folder / "events.jsonl").unlink()
    (folder / "events.jsonl").mkdir()
    store = open_store(tmp_path)
    job = store.get(folder.name)
    assert (job.record.state, job.spool.log_bytes) == ("lost", 0)
    assert {"log.txt.unreadable", "events.jsonl.unreadable"} <= names(folder)


def test_events_after_a_spoiled_one_are_kept_aside(tmp_path: Path, open_store: Callable[..., JobStore]) -> None:
    folder, _ = kept_job(tmp_path)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(DEEP + b'\n{"seq":3,"at":"","type":"stream","name":"stdout","text":"behind"}\n')
    open_store(tmp_path)
    assert b"behind" in (folder / "events.jsonl.unreadable").read_bytes()
    assert b"behind" not in (folder / "events.jsonl").read_bytes()


def test_files_set_aside_get_distinct_names(tmp_path: Path) -> None:
    for content in ("one", "two", "three"):
        (tmp_path / "boots").write_text(content)
        spoiled.set_aside(tmp_path / "boots", ValueError())
    assert names(tmp_path) == {"boots.unreadable", "boots.unreadable1", "boots.unreadable2"}
    spoiled.set_aside(tmp_path / "missing", ValueError())


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything can be read by this user")
def test_a_file_without_read_permission_is_set_aside(tmp_path: Path, open_store: Callable[..., JobStore]) -> None:
    folder, _ = kept_job(tmp_path / "jobs")
    for name in ("boots", "lock"):
        (tmp_path / name).touch(mode=0)
    for name in ("kernels", "uploads"):
        (tmp_path / name).mkdir(mode=0)
    folder.chmod(0)
    spoiled.check_layout(tmp_path)
    with take(tmp_path):
        note_boot(tmp_path, "new")
    store = open_store(tmp_path / "jobs", "new")
    with pytest.raises(JobConflict):
        store.add(folder.name, JobRequest("1"))
    assert {"boots.unreadable", "kernels.unreadable", "uploads.unreadable"} <= names(tmp_path)
    folder.chmod(0o700)

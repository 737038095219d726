"""Jobs are kept on disk with an index, and cost the same however many are kept."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from smart_colab_executor.jobs.index import MAX_NOTED_ENDS
from smart_colab_executor.jobs.job import Ending, Job
from smart_colab_executor.jobs.request import JobRequest
from smart_colab_executor.jobs.store import JobStore

# Greater for later jobs, as a bridge's are: several are added in a millisecond.
NUMBERS = itertools.count(1)


def ended(store: JobStore, code: str = "1", session: str = "main", state: str = "succeeded") -> Job:
    job, _ = store.add(str(uuid.UUID(int=next(NUMBERS))), JobRequest(code, session))
    job.finish(Ending(state))  # type: ignore[arg-type]
    return job


@pytest.fixture
def store(tmp_path: Path, open_store: Callable[..., JobStore]) -> JobStore:
    return open_store(tmp_path / "jobs")


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def test_jobs_are_listed_newest_first_by_state_and_session(store: JobStore) -> None:
    one, two, three = ended(store), ended(store, session="other"), ended(store, state="failed")
    waiting, _ = store.add(str(uuid.uuid4()), JobRequest("1"))
    expected = sorted((one, two, three, waiting), key=lambda job: (job.record.created_at, job.id), reverse=True)
    assert ids(store.newest(None, None, 10)) == ids(expected)
    assert ids(store.newest(None, None, 2)) == ids(expected)[:2]
    assert ids(store.newest("failed", None, 10)) == [three.id]
    assert ids(store.newest("queued", None, 10)) == [waiting.id]
    assert ids(store.newest("succeeded", "other", 10)) == [two.id]
    assert store.newest("failed", "other", 10) == []


def test_an_ended_job_is_read_from_disk_once_nobody_holds_it(
    tmp_path: Path, open_store: Callable[..., JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_store(tmp_path / "jobs")
    job_id = ended(first, "print('long')").id
    first.close()
    read: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))  # type: ignore[func-returns-value]
    store = open_store(tmp_path / "jobs")
    assert not [path for path in read if path.is_relative_to(tmp_path)]
    read.clear()
    job = store.get(job_id)
    assert (job.record.state, job.request.code) == ("succeeded", "print('long')")
    assert store.get(job_id) is job
    assert len(read) == 1
    assert store.add(job_id, JobRequest("print('long')")) == (job, False)


def test_an_executor_killed_before_the_index_knew_an_end_finds_it(
    tmp_path: Path, open_store: Callable[..., JobStore]
) -> None:
    store = open_store(tmp_path / "jobs")
    known, unknown = ended(store), ended(store, state="failed")
    running, _ = store.add(str(uuid.uuid4()), JobRequest("1"))
    store._index._ends.clear()  # the last ends, which a kill loses
    store.close()
    running.spool.close()
    later = open_store(tmp_path / "jobs")
    assert {job.id: job.record.state for job in later.newest(None, None, 10)} == {
        known.id: "succeeded",
        unknown.id: "failed",
        running.id: "lost",
    }
    assert ids(later.newest("failed", None, 10)) == [unknown.id]


def test_a_kill_leaves_few_ended_jobs_to_look_at(store: JobStore) -> None:
    for _ in range(2 * MAX_NOTED_ENDS):
        ended(store)
    # Read before anything asks for the jobs, which would write all ends.
    assert len(store._index.unfinished()) <= MAX_NOTED_ENDS
    assert len(store.newest("succeeded", None, 1000)) == 2 * MAX_NOTED_ENDS


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\0 and nothing else", b"\0" * 8192])
def test_an_index_that_is_gone_or_damaged_is_made_again(
    tmp_path: Path, open_store: Callable[..., JobStore], content: bytes | None
) -> None:
    store = open_store(tmp_path / "jobs")
    job_id = ended(store).id
    store.close()
    path = tmp_path / "jobs.db"
    path.unlink() if content is None else path.write_bytes(content)
    again = open_store(tmp_path / "jobs")
    assert ids(again.newest(None, None, 10)) == [job_id]
    assert ids(again.newest("succeeded", "main", 10)) == [job_id]


def test_jobs_whose_folders_are_gone_are_forgotten(tmp_path: Path, open_store: Callable[..., JobStore]) -> None:
    store = open_store(tmp_path / "jobs")
    gone, kept = ended(store), ended(store)
    running, _ = store.add(str(uuid.uuid4()), JobRequest("1"))
    running.spool.close()
    store.close()
    for job in (gone, running):
        job.folder.rename(tmp_path / job.id)
    later = open_store(tmp_path / "jobs")
    assert ids(later.newest(None, None, 2)) == [kept.id]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, "abc"),
        ({"days": 5}, "ab"),
        ({"max_jobs": 2}, "ab"),
        ({"max_bytes": 12_000}, "ab"),
        ({"days": 0, "max_jobs": 0, "max_bytes": 0}, "a"),
    ],
)
def test_old_jobs_are_removed_by_age_number_and_size_except_the_newest(
    tmp_path: Path, open_store: Callable[..., JobStore], limits: dict[str, int], kept: str
) -> None:
    first = open_store(tmp_path / "jobs")
    made = {}
    for name, age in (("c", 9), ("b", 2), ("a", 1)):
        job = made[name] = ended(first)
        (job.folder / "log.txt").write_bytes(b"x" * 4000)
        then = time.time() - age * 86_400
        os.utime(job.folder / "job.json", (then, then))
    first.close()
    (tmp_path / "jobs.db").unlink()
    store = open_store(tmp_path / "jobs")
    store.remove_old(**limits)
    assert "".join(sorted(name for name, job in made.items() if job.folder.exists())) == kept
    assert {job.id for job in store.newest(None, None, 10)} == {made[name].id for name in kept}


def test_a_job_that_has_not_ended_is_never_removed(store: JobStore) -> None:
    running, _ = store.add(str(uuid.uuid4()), JobRequest("1"))
    ended(store)
    store.remove_old(days=0, max_jobs=0, max_bytes=0)
    assert running.folder.exists()

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor

from smart_colab_executor.core.errors import InvalidArgument, OutsideRoot
from smart_colab_executor.files import changes as module
from smart_colab_executor.files.changes import MAX_RESTLESS_BYTES, MAX_RESTLESS_SEC, SETTLE_SEC, Changes
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.wire.files import FileChanges
from smart_colab_executor.wire.state import JobState

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


class Desk(threading.Event):
    """Reads changes while time passes only in waits; something may happen in each."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.root = root
        self.now = 0.0
        self.meanwhile: Callable[[], object] = lambda: None
        self.job_state: JobState | None = None
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        content = ContentRoot(root)
        self.changes = Changes(content, Files(content), self)

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        self.meanwhile()
        return False

    def read(self, after: str | None = None, wait_sec: float = 25, limit: int = 1000, path: str = "") -> FileChanges:
        return self.changes.read(path, after, limit, wait_sec, lambda: self.job_state)

    def write(self, name: str, text: str = "") -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)


@pytest.fixture
def desk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(root, monkeypatch)


def names(found: FileChanges) -> list[str]:
    return [entry["name"] for entry in found["entries"]]


def test_a_file_is_reported_when_two_looks_found_it_the_same(desk: Desk) -> None:
    desk.write("deep/a", "1")
    assert names(desk.read(wait_sec=0)) == []
    texts = iter(["22", "333"])

    def write() -> None:
        if text := next(texts, ""):
            desk.write("deep/a", text)

    desk.meanwhile = write
    found = desk.read()
    assert [(entry["name"], entry["size"]) for entry in found["entries"]] == [("deep/a", 3)]
    assert (found["exists"], found["is_whole"], found["total"], found["more"]) == (True, True, 1, False)


def test_a_cursor_continues_after_what_was_reported(desk: Desk) -> None:
    for name in "abc":
        desk.write(name)
    first = desk.read(limit=2)
    rest = desk.read(first["next"], limit=2)
    assert len(names(first)) == 2
    assert first["more"]
    assert {*names(first), *names(rest)} == {"a", "b", "c"}
    assert not rest["is_whole"]
    began = desk.now
    assert names(desk.read(rest["next"])) == []
    assert desk.now == began + 25
    desk.write("b", "new")
    assert names(desk.read(rest["next"])) == ["b"]
    assert desk.read("0123.7")["is_whole"]


def test_a_replaced_file_of_the_same_size_and_time_is_a_change(desk: Desk) -> None:
    desk.write("a", "one")
    cursor = desk.read()["next"]
    desk.write("new", "two")
    os.utime(desk.root / "new", ns=((desk.root / "a").stat().st_mtime_ns,) * 2)
    (desk.root / "new").replace(desk.root / "a")
    assert names(desk.read(cursor)) == ["a"]


@unix
def test_a_file_written_in_place_whose_time_is_set_back_is_a_change(desk: Desk) -> None:
    desk.write("a", "one")
    cursor, file = desk.read()["next"], desk.root / "a"
    before, content = file.stat(), ContentRoot(desk.root)
    files = Files(content)
    first = files.stat("a", "sha256")
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of a file system may be coarse
        desk.write("a", "two")
        os.utime(file, ns=(before.st_mtime_ns,) * 2)
    assert names(desk.read(cursor)) == ["a"]
    assert files.stat("a", "sha256")["sha256"] != first["sha256"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no such names")
def test_names_that_are_not_utf8_are_told_apart_from_each_other_and_from_what_they_look_like(desk: Desk) -> None:
    for name in (b"bad\xfe", b"bad\xff", "bad\ufffd".encode()):
        (desk.root / os.fsdecode(name)).touch()
    found = desk.read()
    assert (names(found), sorted(found["not_utf8"])) == (["bad\ufffd"], ["bad\\xfe", "bad\\xff"])


def test_a_small_file_that_never_rests_is_reported_as_it_is_once_in_a_while(desk: Desk) -> None:
    (desk.root / "large").touch()
    times = iter(range(1_000_000_000, 2_000_000_000, 1_000_000))

    def write() -> None:
        desk.write("log", "x")
        os.truncate(desk.root / "large", MAX_RESTLESS_BYTES + 1)
        for name in ("log", "large"):
            os.utime(desk.root / name, ns=(next(times),) * 2)

    write()
    desk.meanwhile = write
    found, began = None, desk.now
    while not (found and names(found)):
        found = desk.read(found and found["next"])
    assert names(found) == ["log"]
    assert MAX_RESTLESS_SEC <= desk.now - began < MAX_RESTLESS_SEC + 2 * SETTLE_SEC


def test_all_files_are_reported_once_the_job_has_ended(desk: Desk) -> None:
    desk.job_state = "running"
    desk.read(wait_sec=0)
    desk.write("last")

    def end() -> None:
        desk.job_state = "succeeded"
        desk.write("last", "words")

    desk.meanwhile = end
    found = desk.read()
    assert (names(found), found["job_state"], desk.now) == (["last"], "succeeded", SETTLE_SEC)


def test_a_folder_may_be_made_later(desk: Desk) -> None:
    found = desk.read(path="later", wait_sec=0)
    assert (found["exists"], found["entries"]) == (False, [])
    assert found["path"] == str(desk.root / "later")
    desk.write("later/a")
    assert names(desk.read(found["next"], path="later")) == ["a"]


def test_only_folders_of_the_root_with_not_too_many_files_are_followed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write("a")
    desk.write("b")
    with pytest.raises(InvalidArgument, match="is a file"):
        desk.read(path="a")
    with pytest.raises(OutsideRoot):
        desk.read(path="..")
    monkeypatch.setattr(module, "MAX_FILES", 1)
    with pytest.raises(InvalidArgument, match="more than 1 files"):
        desk.read()


@unix
def test_links_are_files_only_inside_the_root(desk: Desk, tmp_path: Path) -> None:
    desk.write("folder/file", "inside")
    (tmp_path / "secret").write_text("outside")
    targets = {"in": "folder/file", "out": str(tmp_path / "secret"), "round": "folder", "broken": "none"}
    for name, target in targets.items():
        (desk.root / name).symlink_to(target)
    types = {entry["name"]: entry["type"] for entry in desk.read()["entries"]}
    assert types == {"folder/file": "file", "in": "file", "out": "link", "round": "link", "broken": "link"}


def test_a_request_is_held_until_something_changes(executor: Executor) -> None:
    (executor.root / "changing").mkdir()
    first = executor.get("/files/changes?path=changing")
    (executor.root / "changing" / "a").touch()
    found = executor.get(f"/files/changes?path=changing&wait=25&after={first['next']}")
    assert [entry["name"] for entry in found["entries"]] == ["a"]

"""What the relay keeps on disk, and an executor that it cannot start."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from harness import PACKAGE_PARENT

from smart_colab_executor.relay import relay, starter

PRIVATE = pytest.mark.skipif(os.name == "nt", reason="has no modes of files")


def packed(**files: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"smart_colab_executor/{name}.py")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return written.getvalue()


def test_a_package_that_was_cleaned_up_in_part_is_unpacked_again(tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "a"
    relay.unpack(packed(one="1", two="2"), folder)
    assert relay.is_complete(folder)
    (folder / "smart_colab_executor" / "one.py").unlink()
    assert not relay.is_complete(folder)
    relay.unpack(packed(one="1", two="2"), folder)
    assert relay.is_complete(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def test_a_package_that_cannot_be_unpacked_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "a"
    with pytest.raises(tarfile.TarError):
        relay.unpack(b"no package", folder)
    assert list(folder.parent.iterdir()) == []


@PRIVATE
def test_without_a_home_that_can_be_written_a_private_temporary_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = relay.cache_folder()
    assert folder == tmp_path / f"smart-colab-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    # Another user may have put something else there.
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        relay.cache_folder()


def test_what_the_kernels_python_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "NEEDED", ("psutil", "lacking_one", "lacking_two"))
    with pytest.raises(starter.StartFailed, match="lacks lacking_one, lacking_two"):
        starter.start(PACKAGE_PARENT, tmp_path, str(tmp_path), None)


def test_an_executor_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_COLAB_TOKEN", "not of this executor")
    place = starter.server_folder(tmp_path, str(tmp_path))
    (place / "state").touch()
    with pytest.raises(starter.StartFailed, match=r"code 2: --state .*; name a folder in which"):
        starter.start(PACKAGE_PARENT, tmp_path, str(tmp_path), None)
    assert starter.read_token(place) not in (place / "errors").read_text()


def test_packages_that_no_executor_uses_are_removed(tmp_path: Path) -> None:
    for name in ("new", "old", "running", "fresh", "elsewhere", "partial-1"):
        (tmp_path / name / "hosts").mkdir(parents=True)
    (tmp_path / "elsewhere" / "hosts" / "another").touch()
    (tmp_path / "old" / "hosts" / socket.gethostname()).touch()
    long_ago = time.time() - 2 * starter.STARTS_WITHIN_SEC
    for name in ("old", "running", "elsewhere", "partial-1"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    sleeping = [sys.executable, "-c", "input()", str(tmp_path / "running" / "launch.py")]
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE) as running:
        starter.remove_unused(tmp_path / "new")
        left = {path.name for path in tmp_path.iterdir()}
        running.communicate(b"\n")
    assert left == {"new", "running", "fresh", "elsewhere"}

    # Once that machine has been forgotten, and the process has ended.
    month_ago = time.time() - 2 * starter.FORGET_HOST_SEC
    os.utime(tmp_path / "elsewhere" / "hosts" / "another", (month_ago, month_ago))
    starter.remove_unused(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "fresh"}


def test_a_token_that_was_written_in_part_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    token = starter.read_token(tmp_path)
    assert len(token) == starter.TOKEN_CHARS
    assert starter.read_token(tmp_path) == token


@pytest.mark.skipif(os.name == "nt", reason="JPY_PARENT_PID is a handle there")
def test_only_a_server_that_started_this_kernel_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getppid()))
    assert starter.server_pid() == os.getppid()
    for elsewhere in (str(os.getpid()), "x", ""):
        monkeypatch.setenv("JPY_PARENT_PID", elsewhere)
        assert starter.server_pid() is None

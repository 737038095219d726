"""Paths stay in the content root, and out of the executor's own folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import Executor

from smart_colab_executor.core.errors import Busy, OutsideRoot
from smart_colab_executor.files import content_root
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.files.previews import Previews
from smart_colab_executor.files.ranges import open_regular

unix = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
ROUTES = ["list?recursive=0", "list?recursive=1", "stat?", "stat?digest=sha256", "read?", "preview?", "download?"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "inside.txt").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    return folder


def ways(root: Path) -> dict[str, Callable[[str], Any]]:
    files, previews = Files(ContentRoot(root)), Previews(ContentRoot(root))
    return {
        "list": lambda path: files.list(path, False, 9, None),
        "deep": lambda path: files.list(path, True, 9, None),
        "stat": lambda path: files.stat(path, None),
        "digest": lambda path: files.stat(path, "sha256"),
        "read": lambda path: files.read(path, 1, 9, 65536),
        "preview": lambda path: previews.make(path, None),
        "download": lambda path: files.open_range(path, None, None).body.close(),  # type: ignore[attr-defined]
    }


def refused(root: Path, path: str) -> None:
    for name, way in ways(root).items():
        with pytest.raises(OutsideRoot):
            pytest.fail(f"{name} answered {way(path)}")


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../outside",
        "../outside/secret.txt",
        "sub/../../outside/secret.txt",
        "missing/../../outside/secret.txt",
        "../root/../outside/secret.txt",
        "../missing/below",
        "/",
        "/etc/passwd",
        "/content/../../outside/secret.txt",
        "//server/share/file",
        "{outside}/secret.txt",
        "{outside}",
        "{root}/../outside/secret.txt",
        "{root}x/file",
    ],
)
def test_no_spelling_leaves_the_root(root: Path, path: str) -> None:
    refused(root, path.format(outside=root.parent / "outside", root=root))


@pytest.mark.skipif(os.name != "nt", reason="Windows' own spellings")
@pytest.mark.parametrize(
    "path",
    ["C:\\Windows\\win.ini", "C:", "D:\\x", "Z:x", "\\\\server\\share\\x", "\\\\.\\PhysicalDrive0", "..\\outside"],
)
def test_no_windows_spelling_leaves_the_root(root: Path, path: str) -> None:
    refused(root, path)


@unix
@pytest.mark.parametrize(
    "path",
    [
        "to_file",
        "to_folder",
        "to_folder/secret.txt",
        "to_folder/missing/below",
        "to_nowhere",
        "relative",
        "chain",
        "sub/up/outside/secret.txt",
        "to_folder/../outside/secret.txt",
    ],
)
def test_no_link_leaves_the_root(root: Path, path: str) -> None:
    outside = root.parent / "outside"
    (root / "to_file").symlink_to(outside / "secret.txt")
    (root / "to_folder").symlink_to(outside)
    (root / "to_nowhere").symlink_to(outside / "missing")
    (root / "relative").symlink_to("../outside/secret.txt")
    (root / "chain").symlink_to("relative")
    (root / "sub" / "up").symlink_to("../..")
    refused(root, path)


@unix
def test_links_out_of_the_root_are_listed_as_links(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "to_file").symlink_to(outside / "secret.txt")
    (root / "to_folder").symlink_to(outside)
    (root / "to_inside").symlink_to("inside.txt")
    for recursive in (False, True):
        entries = Files(ContentRoot(root)).list("", recursive, 99, None)["entries"]
        assert {entry["name"]: (entry["type"], entry["size"]) for entry in entries} == {
            "inside.txt": ("file", 6),
            "sub": ("directory", 0),
            "to_file": ("link", 0),
            "to_folder": ("link", 0),
            "to_inside": ("file", 6),
        }


@unix
def test_links_within_the_root_are_followed(root: Path) -> None:
    (root / "sub" / "link").symlink_to("../inside.txt")
    (root / "around").symlink_to("../root/sub")
    files = Files(ContentRoot(root))
    assert files.read("around/link", 1, 9, 65536)["text"] == "inside"
    assert files.stat(str(root / "sub/../around/link"), "sha256")["size"] == 6


@unix
def test_the_root_may_be_reached_by_a_link(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    files = Files(ContentRoot(alias))
    assert files.stat("inside.txt", None)["path"] == str(alias / "inside.txt")
    assert files.read(str(root / "inside.txt"), 1, 9, 65536)["text"] == "inside"
    refused(alias, "../outside/secret.txt")


@unix
def test_a_hard_link_is_a_file_of_the_root(root: Path) -> None:
    os.link(root.parent / "outside" / "secret.txt", root / "hard.txt")
    assert Files(ContentRoot(root)).read("hard.txt", 1, 9, 65536)["text"] == "secret"


class TestMeanwhile:
    """Code changes the target of a name while it is opened."""

    @unix
    @pytest.mark.parametrize("way", ["read", "preview", "download", "digest"])
    def test_a_link_swapped_in_after_the_check_opens_nothing(
        self, root: Path, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = []
        real = open_regular

        def swapped(path: Path) -> BufferedReader:
            """Swap the target between the check and the opening, and swap it back afterwards."""
            (root / "inside.txt").rename(root / "kept")
            path.symlink_to(root.parent / "outside" / "secret.txt")
            opened.append(real(path))
            path.unlink()
            (root / "kept").rename(root / "inside.txt")
            return opened[-1]

        monkeypatch.setattr(content_root, "open_regular", swapped)
        with pytest.raises(Busy):
            ways(root)[way]("inside.txt")
        assert opened
        assert all(stream.closed for stream in opened)

    @unix
    def test_a_link_that_stays_swapped_in_is_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = open_regular

        def swapped(path: Path) -> BufferedReader:
            path.unlink()
            path.symlink_to(root.parent / "outside" / "secret.txt")
            return real(path)

        monkeypatch.setattr(content_root, "open_regular", swapped)
        with pytest.raises(OutsideRoot):
            ways(root)["read"]("inside.txt")

    def test_a_file_replaced_while_opened_is_read(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = open_regular
        new = [root / "new"]
        new[0].write_text("better")

        def replaced(path: Path) -> BufferedReader:
            stream = real(path)
            if new and os.name != "nt":
                new.pop().replace(path)
            return stream

        monkeypatch.setattr(content_root, "open_regular", replaced)
        found = Files(ContentRoot(root)).read("inside.txt", 1, 9, 65536)
        assert found["text"] == ("better" if os.name != "nt" else "inside")


class TestState:
    @pytest.mark.parametrize(
        "path", [".smart_colab", ".smart_colab/token", "sub/../.smart_colab/token", ".smart_colab/x/y", "alias/token"]
    )
    def test_the_executors_own_folder_cannot_be_read(self, root: Path, path: str) -> None:
        (root / ".smart_colab").mkdir()
        (root / ".smart_colab" / "token").write_text("secret")
        if path.startswith("alias"):
            if os.name == "nt":
                pytest.skip("links need rights on Windows")
            (root / "alias").symlink_to(".smart_colab")
        refused(root, path)

    def test_the_state_folder_is_not_listed_wherever_it_is(self, root: Path) -> None:
        state = root / "sub" / "state"
        (state / "jobs").mkdir(parents=True)
        (state / "a.tmp").write_text("")
        files = Files(ContentRoot(root, state))
        assert [entry["name"] for entry in files.list("", True, 99, None)["entries"]] == ["inside.txt", "sub"]
        assert files.list("sub", False, 99, None)["total"] == 0
        assert files.list("sub", True, 99, None)["total"] == 0
        assert files.clear_temp() == []
        with pytest.raises(OutsideRoot, match="executor itself"):
            files.list("sub/state", True, 99, None)

    @unix
    def test_another_name_for_the_state_folder_is_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Imitate a case-insensitive file system."""
        (root / ".smart_colab").mkdir()
        (root / ".smart_colab" / "token").write_text("secret")
        real = Path.stat

        def stat(path: Path, **options: Any) -> os.stat_result:
            return real(Path(str(path).replace(".SMART", ".smart").replace("COLAB", "colab")), **options)

        monkeypatch.setattr(Path, "stat", stat)
        with pytest.raises(OutsideRoot, match="executor itself"):
            ContentRoot(root).locate(".SMART_COLAB/token")

    def test_a_root_below_the_state_folder_is_shown(self, root: Path) -> None:
        files = Files(ContentRoot(root, root.parent))
        assert files.read("inside.txt", 1, 9, 65536)["text"] == "inside"
        assert [entry["name"] for entry in files.list("", True, 99, None)["entries"]] == ["inside.txt", "sub"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".smart_colab/lock", ".smart_colab"])
def test_every_route_gives_a_remedy(executor: Executor, route: str, path: str) -> None:
    reply = executor.call("GET", f"/files/{route}&path={quote(path)}")
    assert (reply.status, reply.json["code"], reply.json["retryable"]) == (403, "outside_root", False)
    assert ("job's id" if "smart" in path else "shutil.copy") in reply.json["hint"]
    assert "GET" not in reply.json["hint"]


def test_the_executors_own_folder_is_not_listed(executor: Executor) -> None:
    executor.run("1")
    assert (executor.root / ".smart_colab").is_dir()
    for recursive in (0, 1):
        listed = executor.get(f"/files/list?recursive={recursive}&limit=1000")["entries"]
        assert not [entry["name"] for entry in listed if "smart_colab" in entry["name"]]

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smart_colab_executor.core.errors import InvalidArgument, NotFound, OutsideRoot
from smart_colab_executor.files import content_root
from smart_colab_executor.files import files as module
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.wire.files import FileList

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


def a_machine_without_content(root: Path) -> Files:
    found = ContentRoot(root)
    found._has_content = False
    return Files(found)


def names(listing: FileList) -> list[str]:
    return [entry["name"] for entry in listing["entries"]]


def types(listing: FileList) -> dict[str, str]:
    return {entry["name"]: entry["type"] for entry in listing["entries"]}


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


class TestPaths:
    @pytest.mark.parametrize("path", ["a/b.txt", "./a/b.txt", "/content/a/b.txt", "/content//a/b.txt"])
    def test_paths_start_in_the_root_or_in_content(self, root: Path, path: str) -> None:
        files = a_machine_without_content(root)
        put(root, "a/b.txt")
        assert files.read(path, 1, 9, 65536)["text"] == "a/b.txt"
        assert files.stat(path, None)["path"] == str(root / "a/b.txt")

    def test_content_means_the_root(self, root: Path) -> None:
        files = a_machine_without_content(root)
        put(root, "a")
        assert files.list("/content", recursive=False, limit=9, cursor=None) == files.list("", False, 9, None)
        with pytest.raises(OutsideRoot) as refused:
            files.stat("/contents", None)
        assert f"below {root}" in refused.value.hint

    def test_an_existing_content_folder_is_not_remapped(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(root, "content/a.txt")
        monkeypatch.setattr(content_root, "CONTENT", str(root / "content"))
        assert Files(ContentRoot(root)).read(f"{root}/content/a.txt", 1, 9, 65536)["text"] == "content/a.txt"

    def test_a_nul_character_is_refused(self, files: Files) -> None:
        with pytest.raises(InvalidArgument):
            files.stat("a\0b", None)

    @unix
    def test_a_non_utf8_name_is_shown_and_found_again(self, files: Files, root: Path) -> None:
        folder = os.fsencode(root) + b"/caf\xe9"
        Path(os.fsdecode(folder)).mkdir()
        Path(os.fsdecode(folder + b"/na\xefve.txt")).write_text("coffee")
        assert names(files.list("", False, 9, None)) == ["caf\ufffd"]
        (entry,) = files.list("caf\ufffd", False, 9, None)["entries"]
        entry["name"].encode("utf-8")
        assert files.read(entry["path"], 1, 9, 65536)["text"] == "coffee"
        assert files.stat(entry["path"], "sha256")["sha256"] == hashlib.sha256(b"coffee").hexdigest()


class TestList:
    def test_entries_describe_their_files(self, files: Files, root: Path) -> None:
        put(root, "b.txt", "a/x", ".hidden")
        listing = files.list("", False, 100, None)
        assert types(listing) == {".hidden": "file", "a": "directory", "b.txt": "file"}
        assert (listing["total"], listing["next_cursor"], listing["path"]) == (3, None, str(root))
        entry = listing["entries"][2]
        assert (entry["size"], entry["path"]) == (5, str(root / "b.txt"))
        os.utime(root / "b.txt", (1, 1.5))
        assert files.list("", False, 100, None)["entries"][2]["modified_at"] == "1970-01-01T00:00:01.500Z"

    @pytest.mark.parametrize(
        ("seconds", "shown"), [(10**12, "9999-12-31T23:59:59.999Z"), (-(10**12), "0001-01-01T00:00:00.000Z")]
    )
    def test_a_time_out_of_range_becomes_the_nearest_date(self, seconds: int, shown: str) -> None:
        assert module.time_text(os.stat_result([0] * 8 + [seconds, 0])) == shown

    def test_recursive_names_are_relative_and_omit_the_executors_files(self, files: Files, root: Path) -> None:
        put(root, "a/b/c.txt", "a.txt", ".smart_colab/jobs/1/log.txt", "d/.smart_colab/token")
        flat, deep = files.list("", False, 100, None), files.list("", True, 100, None)
        assert names(flat) == ["a", "a.txt", "d"]
        assert names(deep) == ["a", "a.txt", "a/b", "a/b/c.txt", "d", "d/.smart_colab"]
        assert (flat["total"], deep["total"]) == (3, 6)
        assert names(files.list("a", True, 100, None)) == ["b", "b/c.txt"]

    @pytest.mark.parametrize("recursive", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    def test_pages_add_up_to_the_whole_list(self, files: Files, root: Path, recursive: bool, limit: int) -> None:
        put(root, *(f"{name}/{number}" for name in ("ä", "b b", "%41", "c+d") for number in range(3)))
        whole = files.list("", recursive, 1000, None)
        found, cursor = [], None
        while True:
            page = files.list("", recursive, limit, cursor)
            assert page["total"] == whole["total"]
            found += page["entries"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == whole["entries"]

    def test_created_and_deleted_files_shift_no_page(self, files: Files, root: Path) -> None:
        put(root, "b", "c", "d", "e")
        first = files.list("", False, 2, None)
        (root / "b").unlink()
        (root / "c").unlink()
        put(root, "a")
        assert names(files.list("", False, 2, first["next_cursor"])) == ["d", "e"]

    def test_a_limit_above_the_maximum_means_the_maximum(
        self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_ENTRIES", 2)
        put(root, "a", "b", "c")
        assert names(files.list("", False, 5000, None)) == ["a", "b"]
        with pytest.raises(InvalidArgument):
            files.list("", False, 0, None)

    @unix
    def test_a_pattern_selects_by_the_last_part_of_a_name(self, files: Files, root: Path) -> None:
        (root / "deep.csv").mkdir()
        for name in ("a.csv", "b.txt", "deep.csv/c.csv", "deep.csv/d.txt"):
            (root / name).touch()
        chosen = files.list("", False, 1, None, "*.csv")
        assert (names(chosen), chosen["total"]) == (["a.csv"], 2)
        assert names(files.list("", False, 9, chosen["next_cursor"], "*.csv")) == ["deep.csv"]
        assert names(files.list("", True, 9, None, "?.csv")) == ["a.csv", "deep.csv/c.csv"]
        assert names(files.list("", True, 9, None, "none")) == []

    def test_links_have_their_targets_type_except_folders_in_recursive_lists(self, files: Files, root: Path) -> None:
        put(root, "folder/file")
        (root / "to_file").symlink_to("folder/file")
        (root / "to_folder").symlink_to("folder")
        (root / "nowhere").symlink_to("missing")
        (root / "circle").symlink_to("circle")
        flat = types(files.list("", False, 100, None))
        assert flat["to_file"] == "file"
        assert flat["to_folder"] == "directory"
        assert flat["nowhere"] == flat["circle"] == "link"
        (root / "folder" / "up").symlink_to("..")
        deep = types(files.list("", True, 100, None))
        assert deep["to_folder"] == deep["folder/up"] == "link"
        assert not any(name.startswith(("to_folder/", "folder/up/")) for name in deep)

    @unix
    def test_pipes_and_sockets_have_type_other(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(root / "pipe")
        monkeypatch.chdir(root)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("sock")
        assert types(files.list("", False, 100, None)) == {"pipe": "other", "sock": "other"}

    def test_a_file_that_vanishes_meanwhile_is_omitted(
        self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(root, "a", "b")
        monkeypatch.setattr(module, "names", lambda _: iter(["a", "ghost", "b"]))
        assert names(files.list("", False, 100, None)) == ["a", "b"]

    def test_a_file_cannot_be_listed(self, files: Files, root: Path) -> None:
        put(root, "a.txt")
        with pytest.raises(InvalidArgument, match="not a folder"):
            files.list("a.txt", False, 9, None)
        with pytest.raises(NotFound):
            files.list("a.txt/b", False, 9, None)

    def test_errors_of_the_system_are_reported(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(root, "closed/a")

        def refuse(path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)
        for recursive in (False, True):
            with pytest.raises(InvalidArgument, match="cannot be read by the user"):
                files.list("closed", recursive, 9, None)


@unix
class TestStat:
    def test_size_and_etag_are_those_of_one_file_though_it_is_replaced_meanwhile(
        self, root: Path, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "a").write_text("earlier")
        (root / "b").write_text("a longer one")

        def replace(_: object) -> bool:
            (root / "b").replace(root / "a")
            return False

        monkeypatch.setattr(module, "is_executable", replace)
        found = files.stat("a", None)
        assert (found["size"], str(found["etag"]).split("-")[1]) == (7, "7")


class TestClosed:
    """Files without read permission; root drops its privileges for these tests."""

    @pytest.fixture
    def files(self) -> Iterator[Files]:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            root.chmod(0o755)
            put(root, "closed/a.tmp", "open/b", "file")
            for path in ("closed", "file"):
                (root / path).chmod(0)
            user = os.geteuid()
            if user == 0:
                os.seteuid(65534)
            yield Files(ContentRoot(root))
            os.seteuid(user)
            for path in ("closed", "file"):
                (root / path).chmod(0o700)

    def test_readable_files_beside_closed_ones_are_listed(self, files: Files) -> None:
        assert names(files.list("", True, 9, None)) == ["closed", "file", "open", "open/b"]
        assert files.stat("file", None)["type"] == "file"
        assert files.clear_temp() == []

    def test_every_route_reports_a_closed_file(self, files: Files) -> None:
        for ask in (
            lambda: files.list("closed", False, 9, None),
            lambda: files.list("closed", True, 9, None),
            lambda: files.stat("closed/a.tmp", None),
            lambda: files.stat("file", "sha256"),
            lambda: files.read("file", 1, 9, 65536),
            lambda: files.read("closed/a.tmp", 1, 9, 65536),
            lambda: files.open_range("file", None, None),
            lambda: files.list("closed/none/none", False, 9, None),
        ):
            with pytest.raises(InvalidArgument, match="cannot be read by the user"):
                ask()

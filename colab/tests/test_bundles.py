"""Many small files in one reply or one request."""

import errno
import hashlib
import json
import os
import random
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.core.errors import InvalidArgument, NotFound, OutsideRoot
from smart_colab_executor.files import bundles as module
from smart_colab_executor.files.bundles import MAX_FILE_BYTES, Bundles, check_name
from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.partials import remove_leftovers

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")
TIME = "2001-02-03T04:05:06.789Z"
STATE = ".smart_colab"


@pytest.fixture
def bundles(root: Path) -> Bundles:
    (root / STATE).mkdir(exist_ok=True)
    return Bundles(ContentRoot(root), root / STATE / "uploads")


def packed(files: dict[str, bytes], **change: object) -> bytes:
    """Return a bundle of these files; `change` overrides fields of each line."""
    pieces = []
    for name, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        line = {"name": name, "size": len(content), "sha256": sha256, "modified_at": TIME, **change}
        pieces.append(json.dumps(line).encode() + b"\n" + content)
    return b"".join(pieces) + b'{"end":true}\n'


def unpacked(bundle: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of a bundle, and the codes of unreadable ones."""
    files, codes, lines = {}, {}, BytesReader(bundle)
    while (head := lines.json()) != {"end": True}:
        if "code" in head:
            assert set(head) == {"name", "code", "detail"}
            codes[head["name"]] = head["code"]
        else:
            assert set(head) == {"name", "size", "sha256", "modified_at", "executable"}
            content = files[head["name"]] = lines.take(head["size"])
            assert hashlib.sha256(content).hexdigest() == head["sha256"]
    assert lines.rest == b""
    return files, codes


class BytesReader:
    def __init__(self, data: bytes) -> None:
        self.rest = data

    def json(self) -> Any:
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def take(self, size: int) -> bytes:
        found, self.rest = self.rest[:size], self.rest[size:]
        return found


def read(bundles: Bundles, path: str, *names: object) -> tuple[dict[str, bytes], dict[str, str]]:
    return unpacked(b"".join(bundles.read(path, names)))


def put(root: Path, name: str, content: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def partials(root: Path) -> list[Path]:
    return [*root.rglob("*.partial"), *(root / STATE).rglob("*.json")]


class TestRead:
    def test_files_are_returned_in_order_with_unreadable_ones_named(self, bundles: Bundles, root: Path) -> None:
        put(root, "runs/a.txt", b"a\nb")
        put(root, "runs/deep/名 é.bin", bytes(range(256)))
        put(root, "runs/empty", b"")
        put(root, "runs/just", bytes(MAX_FILE_BYTES))
        put(root, "runs/more", bytes(MAX_FILE_BYTES + 1))
        names = ("empty", "deep/名 é.bin", "none", "deep", "more", "just", "a.txt/x", "a.txt")
        files, codes = read(bundles, "runs", *names)
        assert files == {
            name: (root / "runs" / name).read_bytes() for name in ("empty", "deep/名 é.bin", "just", "a.txt")
        }
        assert codes == {"none": "not_found", "deep": "is_a_directory", "more": "too_large", "a.txt/x": "not_found"}
        assert read(bundles, "", "runs/a.txt")[0] == {"runs/a.txt": b"a\nb"}
        assert read(bundles, str(root / "runs")) == ({}, {})

    def test_a_bundled_file_has_its_modification_time(self, bundles: Bundles, root: Path) -> None:
        put(root, "a", b"")
        os.utime(root / "a", (1, 1.5))
        assert BytesReader(b"".join(bundles.read("", ["a"]))).json()["modified_at"] == "1970-01-01T00:00:01.500Z"

    def test_files_are_read_one_at_a_time(self, bundles: Bundles, root: Path) -> None:
        names = [f"{number}" for number in range(20)]
        for name in names:
            put(root, name, bytes(MAX_FILE_BYTES))
        assert max(map(len, bundles.read("", names))) < MAX_FILE_BYTES + 2 * module.CHUNK
        for name in names:
            put(root, name, b"x")
        assert len(list(bundles.read("", names))) == 1

    @unix
    def test_links_out_of_the_root_and_the_executors_own_files_are_refused(
        self, bundles: Bundles, root: Path, tmp_path: Path
    ) -> None:
        put(tmp_path, "secret", b"secret")
        put(root, f"{STATE}/token", b"token")
        (root / "out").symlink_to(tmp_path / "secret")
        os.mkfifo(root / "pipe")
        files, codes = read(bundles, "", "out", f"{STATE}/token", "pipe")
        assert files == {}
        assert codes == {"out": "outside_root", f"{STATE}/token": "outside_root", "pipe": "invalid_argument"}

    @unix
    def test_a_non_utf8_name_is_found_as_listed(self, bundles: Bundles, root: Path) -> None:
        Path(os.fsdecode(os.fsencode(root) + b"/na\xefve")).write_bytes(b"x")
        assert read(bundles, "", "na\ufffdve")[0] == {"na\ufffdve": b"x"}

    @pytest.mark.parametrize(
        "name", ["..", "../x", "a/../b", "/etc/passwd", "", "a//b", "./a", "a/", "a\0b", "\ud800", 5, None]
    )
    def test_a_name_outside_the_folder_is_refused_before_anything_is_read(
        self, bundles: Bundles, root: Path, name: object
    ) -> None:
        put(root, "a", b"")
        with pytest.raises(InvalidArgument):
            bundles.read("", ["a", name])

    def test_invalid_folders_and_too_many_names_are_refused(self, bundles: Bundles, root: Path) -> None:
        put(root, "file", b"")
        for path, error in (("file", InvalidArgument), ("none", NotFound), ("..", OutsideRoot)):
            with pytest.raises(error):
                bundles.read(path, ["a"])
        with pytest.raises(InvalidArgument, match="1001"):
            bundles.read("", ["a"] * 1001)

    @pytest.mark.parametrize(("changes", "expected"), [(1, ({"a": b"new"}, {})), (2, ({}, {"a": "busy"}))])
    def test_a_file_that_changes_while_read_is_read_once_more(
        self, bundles: Bundles, root: Path, monkeypatch: pytest.MonkeyPatch, changes: int, expected: object
    ) -> None:
        put(root, "a", b"old")
        left, real = [changes], ContentRoot.open

        class Meddling:
            def __init__(self, stream: BufferedReader, file: Path) -> None:
                self.stream, self.file = stream, file

            def __enter__(self) -> "Meddling":
                return self

            def __exit__(self, *_: object) -> None:
                self.stream.close()

            def fileno(self) -> int:
                return self.stream.fileno()

            def read(self, size: int) -> bytes:
                found = self.stream.read(size)
                if left[0]:
                    left[0] -= 1
                    self.file.write_bytes(b"new")
                    os.utime(self.file, (left[0], left[0]))
                return found

        monkeypatch.setattr(ContentRoot, "open", lambda self, file: Meddling(real(self, file), file))
        assert read(bundles, "", "a") == expected


class TestWrite:
    def test_bundled_files_are_written(self, bundles: Bundles, root: Path) -> None:
        rng = random.Random(1)
        files = {f"deep/{n % 3}/名 {n}.bin": rng.randbytes(rng.randint(0, 9999)) for n in range(30)} | {"empty": b""}
        put(root, "runs/empty", b"earlier")
        for _ in range(2):  # writing again has the same result
            found = bundles.write("runs", packed(files))
            assert [(entry["name"], entry["code"], entry["detail"]) for entry in found] == [
                (name, None, None) for name in files
            ]
            for name, content in files.items():
                assert (root / "runs" / name).read_bytes() == content
                assert (root / "runs" / name).stat().st_mtime_ns == 981173106_789_000_000
        assert partials(root) == []
        assert read(bundles, "runs", *files)[0] == files

    def test_an_empty_bundle_writes_nothing(self, bundles: Bundles, root: Path) -> None:
        assert bundles.write("new", packed({})) == []
        assert not (root / "new").exists()

    def test_a_blocked_file_is_reported_and_the_rest_is_written(self, bundles: Bundles, root: Path) -> None:
        put(root, "file", b"x")
        (root / "folder").mkdir()
        found = bundles.write("", packed({"file/a": b"1", "folder": b"2", "x" * 300: b"3", "good": b"4"}))
        assert [entry["code"] for entry in found] == ["invalid_argument", "is_a_directory", "invalid_argument", None]
        assert all(entry["detail"] for entry in found[:3])
        assert (root / "good").read_bytes() == b"4"
        assert (root / "file").read_bytes() == b"x"
        assert partials(root) == []

    @pytest.mark.parametrize(
        "bundle",
        [
            b"",
            b"{",
            b'{"end":true}',
            b"[]\n",
            b"5\n",
            b"[" * 5000 + b"\n",
            b'{"end":true}\nx',
            b'{"end":false}\n',
            packed({"good": b"1", "bad": b"2"})[:-13],
            packed({"good": b"1", "bad": b"2"})[:-15],
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, size=1 << 40),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, size=True),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, size=-1),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, size="1"),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, sha256="0" * 64),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, sha256=None),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, modified_at="today"),
            packed({"good": b"1"})[:-13] + packed({"bad": b"2"}, modified_at=None),
            packed({"good": b"1"})[:-13] + b'{"name":"bad","code":"not_found","detail":"x"}\n{"end":true}\n',
            *(
                packed({"good": b"1", name: b"2"})
                for name in ("..", "../x", "/x", "a/../../x", "", "a//b", "a\0b", "a/", "\ud800", "\udc80")
            ),
            packed({"good": b"1"}, name=5),
            packed({"good": b"1", "x" * 70_000: b"2"}),
            packed({str(number): b"" for number in range(1001)}),
        ],
        ids=lambda bundle: repr(bundle[-60:]),
    )
    def test_a_malformed_bundle_writes_nothing(self, bundles: Bundles, root: Path, bundle: bytes) -> None:
        with pytest.raises(InvalidArgument):
            bundles.write("", bundle)
        assert sorted(root.rglob("*")) == [root / STATE]

    @unix
    def test_nothing_is_written_through_links_out_of_the_root_or_into_the_state_folder(
        self, bundles: Bundles, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        (root / "out").symlink_to(tmp_path / "outside")
        found = bundles.write("", packed({"out/a": b"1", f"{STATE}/b": b"2", "c": b"3"}))
        assert [entry["code"] for entry in found] == ["outside_root", "outside_root", None]
        assert list((tmp_path / "outside").iterdir()) == []
        with pytest.raises(OutsideRoot):
            bundles.write("out", packed({"a": b"1"}))
        with pytest.raises(InvalidArgument, match="is a file"):
            bundles.write("c", packed({"a": b"1"}))

    def test_a_full_disk_is_reported_for_the_affected_file(
        self, bundles: Bundles, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Path.write_bytes

        def full(self: Path, data: Any) -> int:
            if len(data) > 100 and self.suffix == ".partial" and self.parent == root:
                real(self, data[:50])
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, data)

        put(root, "large", b"earlier")
        monkeypatch.setattr(Path, "write_bytes", full)
        found = bundles.write("", packed({"small": b"1", "large": bytes(200)}))
        assert [entry["code"] for entry in found] == [None, "disk_full"]
        assert (root / "large").read_bytes() == b"earlier"
        assert partials(root) == []

    def test_leftovers_of_a_killed_executor_are_removed_by_the_next(
        self, bundles: Bundles, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: object) -> None:
            sys.exit(9)

        with monkeypatch.context() as patched:
            patched.setattr(module, "rename_into_place", die)
            patched.setattr(Path, "unlink", lambda *_, **__: None)
            with pytest.raises(SystemExit):
                bundles.write("deep", packed({"er/a": b"1", "b": b"2"}))
        assert len(partials(root)) == 2
        remove_leftovers(root / STATE / "uploads", at_start=True)
        assert partials(root) == []

    @unix
    def test_a_replaced_file_keeps_its_mode(self, bundles: Bundles, root: Path) -> None:
        put(root, "a.sh", b"")
        (root / "a.sh").chmod(0o751)
        bundles.write("", packed({"a.sh": b"1"}))
        assert stat.S_IMODE((root / "a.sh").stat().st_mode) == 0o751


@pytest.mark.parametrize("name", ["a\\b", "..\\x", "C:x", "a:stream", ".. /x", "a./b", "a "])
def test_names_that_windows_reinterprets_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_name(name, is_windows=True)
    assert check_name(name, is_windows=False) == name


def test_bundles_are_read_and_written_over_http(executor: Executor) -> None:
    files = {f"deep/{number}.txt": b"x" * number for number in range(300)}
    reply = executor.call("PUT", "/files/bundle?path=bundled", packed(files))
    assert [entry["code"] for entry in reply.json["files"]] == [None] * 300
    reply = executor.call("POST", "/files/bundle", {"path": "bundled", "names": [*files, "none"]})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/vnd.smart-colab.bundle")
    assert unpacked(reply.body) == (files, {"none": "not_found"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"path": "", "names": "a"},
        {"path": 5, "names": []},
        {"path": "\ud800", "names": []},
        {"path": "", "names": [".."]},
        {"path": "", "names": ["\ud800"]},
        [],
    ],
)
def test_a_malformed_bundle_request_is_refused(executor: Executor, body: object) -> None:
    reply = executor.call("POST", "/files/bundle", body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")


def test_a_bundle_over_the_limit_is_refused(executor: Executor) -> None:
    reply = executor.call("PUT", "/files/bundle?path=big", bytes((8 << 20) + 1))
    assert (reply.status, reply.json["code"]) == (413, "invalid_argument")

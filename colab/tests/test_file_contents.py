import hashlib
import os
import threading
from io import BufferedReader
from pathlib import Path

import pytest

from smart_colab_executor.core.errors import InvalidArgument, IsADirectory, NotFound
from smart_colab_executor.files import digests as digests_module
from smart_colab_executor.files import files as module
from smart_colab_executor.files.digests import ALGORITHMS, Prefix
from smart_colab_executor.files.files import Files

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


class TestStat:
    def test_stat_describes_files_and_folders_without_a_digest(self, files: Files, root: Path) -> None:
        put(root, "a/b.txt")
        found = files.stat("a/b.txt", None)
        assert found["name"] == "b.txt"
        assert (found["type"], found["size"]) == ("file", 7)
        assert (found["sha256"], found["digest_pending"]) == (None, False)
        folder = files.stat("a", "sha256")
        assert (folder["type"], folder["etag"], folder["sha256"], folder["digest_pending"]) == (
            "directory",
            None,
            None,
            False,
        )
        assert files.stat("", None)["path"] == str(root)

    def test_the_digest_matches_the_content_and_is_computed_once(
        self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(root, "a")
        made = []
        real = Prefix.read

        def counted(self: Prefix, stream: BufferedReader) -> None:
            made.append(stream.name)
            real(self, stream)

        monkeypatch.setattr(Prefix, "read", counted)
        first = files.stat("a", "sha256")
        assert first["sha256"] == hashlib.sha256(b"a").hexdigest()
        assert files.stat("a", "sha256") == first
        assert len(made) == 1
        (root / "a").write_text("other")
        assert files.stat("a", "sha256")["sha256"] == hashlib.sha256(b"other").hexdigest()
        assert files.stat("a", None)["etag"] != first["etag"]

    @pytest.mark.skipif("blake3" not in ALGORITHMS, reason="an optional package")
    def test_the_digest_is_the_one_that_was_asked_for(self, files: Files, root: Path) -> None:
        (root / "a").write_text("abc")
        found = files.stat("a", "blake3")
        assert found["blake3"] == "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        assert found["sha256"] is None
        assert files.stat("a", "sha256")["sha256"] == hashlib.sha256(b"abc").hexdigest()

    def test_a_slow_digest_is_pending(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(root, "a")
        gate = threading.Event()
        real = Prefix.read

        def slow(self: Prefix, stream: BufferedReader) -> None:
            gate.wait()
            real(self, stream)

        monkeypatch.setattr(Prefix, "read", slow)
        monkeypatch.setattr(digests_module, "DIGEST_TIMEOUT_SEC", 0.01)
        pending = files.stat("a", "sha256")
        assert (pending["sha256"], pending["digest_pending"]) == (None, True)
        gate.set()
        monkeypatch.setattr(digests_module, "DIGEST_TIMEOUT_SEC", 60)
        done = files.stat("a", "sha256")
        assert (done["sha256"], done["digest_pending"]) == (hashlib.sha256(b"a").hexdigest(), False)

    def test_a_digest_of_a_changed_file_is_not_returned(
        self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(root, "a")
        real = Prefix.read

        def meddle(self: Prefix, stream: BufferedReader) -> None:
            (root / "a").write_text("changed")
            real(self, stream)

        with monkeypatch.context() as patched:
            patched.setattr(Prefix, "read", meddle)
            assert files.stat("a", "sha256")["digest_pending"] is True
        assert files.stat("a", "sha256")["sha256"] == hashlib.sha256(b"changed").hexdigest()

    def test_a_failed_digest_gives_the_reason(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(root, "a")

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Prefix, "read", fail)
        with pytest.raises(InvalidArgument, match="Input/output error"):
            files.stat("a", "sha256")

    def test_old_digests_are_evicted(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digests_module, "MAX_DIGESTS", 2)
        put(root, "a", "b", "c")
        for name in "abcab":
            assert files.stat(name, "sha256")["sha256"]
        assert len(files.digests._made) == 2

    def test_unsupported_digests_are_refused(self, files: Files, root: Path) -> None:
        put(root, "a")
        with pytest.raises(InvalidArgument, match="md5"):
            files.stat("a", "md5")

    def test_a_missing_file_suggests_similar_names(self, files: Files, root: Path) -> None:
        put(root, "results/model_final.pt", "results/notes.md")
        with pytest.raises(NotFound) as caught:
            files.stat("results/model_finel.pt", None)
        assert str(root / "results/model_final.pt") in caught.value.hint
        with pytest.raises(NotFound) as caught:
            files.stat("result/model_final.pt", None)
        assert caught.value.hint == f"Did you mean {root / 'results'}?"
        with pytest.raises(NotFound) as caught:
            files.stat("zzz", None)
        assert "List" in caught.value.hint

    @unix
    def test_a_broken_link_is_reported_as_such(self, files: Files, root: Path) -> None:
        (root / "dang").symlink_to(root / "gone")
        for path in ("dang", "dang/below"):
            with pytest.raises(NotFound, match="dang is a broken link") as caught:
                files.read(path, 1, 1, 1000)
            assert "Did you mean" not in caught.value.hint


class TestDownload:
    def test_stats_etag_is_valid_for_a_range(self, files: Files, root: Path) -> None:
        (root / "a").write_text("0123456789")
        etag = files.stat("a", None)["etag"]
        reply = files.open_range("a", "bytes=2-4", etag)
        assert (reply.status, b"".join(reply.body), reply.headers["ETag"]) == (206, b"234", etag)
        (root / "a").write_text("abcdefghijk")
        reply = files.open_range("a", "bytes=2-4", etag)
        assert (reply.status, b"".join(reply.body)) == (200, b"abcdefghijk")

    def test_a_replaced_file_is_served_as_opened(self, files: Files, root: Path) -> None:
        (root / "a").write_text("old")
        reply = files.open_range("a", None, None)
        (root / "b").write_text("new!")
        if os.name != "nt":
            (root / "b").replace(root / "a")
        assert b"".join(reply.body) == b"old"

    def test_folders_and_missing_files_cannot_be_downloaded(self, files: Files) -> None:
        with pytest.raises(IsADirectory):
            files.open_range("", None, None)
        with pytest.raises(NotFound):
            files.open_range("none", None, None)


class TestClearTemp:
    def test_only_temporary_files_are_deleted(self, files: Files, root: Path) -> None:
        put(root, "a.tmp", "b/c.temp", "b/__pycache__/d.pyc", "keep.txt", "tmp", "x.tmp/inside.txt", "B.TMP")
        put(root, ".smart_colab/jobs/1/e.tmp")
        deleted = files.clear_temp()
        assert deleted == sorted(str(root / name) for name in ("a.tmp", "b/c.temp", "b/__pycache__/d.pyc"))
        left = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
        assert left == {"keep.txt", "tmp", "x.tmp/inside.txt", "B.TMP", ".smart_colab/jobs/1/e.tmp"}

    @unix
    def test_links_are_not_followed(self, files: Files, root: Path, tmp_path: Path) -> None:
        put(tmp_path, "outside/a.tmp")
        (root / "link").symlink_to(tmp_path / "outside")
        (root / "b.tmp").symlink_to(tmp_path / "outside/a.tmp")
        assert files.clear_temp() == []
        assert (tmp_path / "outside/a.tmp").exists()

    def test_other_file_systems_are_left_alone(self, files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(root, "drive/a.tmp", "b.tmp")
        real = module._on
        monkeypatch.setattr(module, "_on", lambda device, folder: folder.name != "drive" and real(device, folder))
        assert files.clear_temp() == [str(root / "b.tmp")]

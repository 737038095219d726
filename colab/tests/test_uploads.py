"""Uploads in pieces, without HTTP."""

import errno
import io
import itertools
import os
import random
import stat
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from upload_helpers import DATA, STATE, add, hidden, named, send, uploads_in

from smart_colab_executor.core.errors import Damaged, Incomplete, InvalidArgument, IsADirectory, OutsideRoot
from smart_colab_executor.files import digests as digests_module
from smart_colab_executor.files.digests import Digest, Digests, Prefix
from smart_colab_executor.files.uploads import Upload, Uploads, merge_ranges
from smart_colab_executor.http.problems import problem

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


class TestPieces:
    def test_pieces_in_any_order_form_the_file(self, uploads: Uploads, root: Path) -> None:
        upload = named(uploads, "deep/er/a.bin")
        assert uploads.look(upload)["state"] == "open"
        assert not (root / "deep").exists()
        cuts = [*range(0, len(DATA), 99_999), len(DATA)]
        pieces = list(itertools.pairwise(cuts))
        random.Random(2).shuffle(pieces)
        for start, stop in pieces:
            found = add(uploads, upload, start, stop)
            assert any(low <= start and stop <= high for low, high in found["received"])
        assert found["received"] == [(0, len(DATA))]
        assert found == uploads.look(upload)
        done = uploads.finish(upload, 1_500_000_000_123_000_000)
        assert done == {
            "path": str(root / "deep/er/a.bin"),
            "size": len(DATA),
            "sha256": upload.name,
            "state": "complete",
            "received": [(0, len(DATA))],
            "executable": False if os.name != "nt" else None,
        }
        assert (root / "deep/er/a.bin").read_bytes() == DATA
        assert (root / "deep/er/a.bin").stat().st_mtime_ns == 1_500_000_000_123_000_000
        assert hidden(root) == []

    def test_concurrent_pieces_are_all_kept(self, uploads: Uploads, root: Path) -> None:
        upload = named(uploads, "a.bin")
        with ThreadPoolExecutor(8) as pool:
            # Each twice, as a request may be repeated before the first one is answered.
            starts = [*range(0, len(DATA), 10_000)] * 2
            list(pool.map(lambda start: add(uploads, upload, start, start + 10_000), starts))
            finished = list(pool.map(lambda _: uploads.finish(upload, None)["state"], range(8)))
        assert finished == ["complete"] * 8
        assert (root / "a.bin").read_bytes() == DATA
        assert hidden(root) == []

    def test_the_next_executor_resumes_the_upload(self, uploads: Uploads, root: Path) -> None:
        add(uploads, named(uploads, "a.bin"), 0, 400_000)
        uploads = uploads_in(root)
        upload = named(uploads, "./a.bin")
        assert uploads.look(upload)["received"] == [(0, 400_000)]
        add(uploads, upload, 300_000, len(DATA))
        assert uploads.finish(upload, None)["state"] == "complete"
        assert (root / "a.bin").read_bytes() == DATA

    def test_different_content_for_the_same_path_is_another_upload(self, uploads: Uploads, root: Path) -> None:
        add(uploads, named(uploads, "a.bin"), 0, 400_000)
        other = DATA[::-1]
        assert uploads.look(named(uploads, "a.bin", other))["received"] == []
        send(uploads, "a.bin", other)
        assert uploads.look(named(uploads, "a.bin"))["received"] == [(0, 400_000)]
        assert (root / "a.bin").read_bytes() == other

    def test_an_upload_restarts_if_its_partial_file_was_removed(self, uploads: Uploads) -> None:
        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, 400_000)
        upload.partial.unlink()
        assert uploads.look(upload)["received"] == []
        assert add(uploads, upload, 400_000, 500_000)["received"] == [(400_000, 500_000)]

    @pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"received": 5}', b'{"received": [[1]]}'])
    def test_an_upload_restarts_if_its_record_is_malformed(self, uploads: Uploads, root: Path, note: bytes) -> None:
        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, 400_000)
        (path,) = (root / STATE / "uploads").glob("*.json")
        path.write_bytes(note)
        assert uploads.look(upload)["received"] == []
        assert send(uploads, "a.bin")["state"] == "complete"

    def test_a_piece_after_the_finish_leaves_nothing(
        self, uploads: Uploads, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, real = named(uploads, "a.bin"), Uploads._lock

        def finished_meanwhile(self: Uploads, upload: Upload) -> threading.Lock:
            with monkeypatch.context() as patched:
                patched.setattr(Uploads, "_lock", real)
                send(self, "a.bin")
            return real(self, upload)

        monkeypatch.setattr(Uploads, "_lock", finished_meanwhile)
        assert add(uploads, upload, 0, 100)["state"] == "complete"
        assert hidden(root) == []

    def test_a_piece_past_the_end_is_refused(self, uploads: Uploads, root: Path) -> None:
        with pytest.raises(InvalidArgument, match="but the file has"):
            uploads.add(named(uploads, "a.bin"), len(DATA) - 1, 2, io.BytesIO(b"xx"))
        assert hidden(root) == []

    def test_a_truncated_piece_is_not_kept(self, uploads: Uploads) -> None:
        upload = named(uploads, "a.bin")
        with pytest.raises(InvalidArgument, match="shorter than its stated length"):
            uploads.add(upload, 0, 1000, io.BytesIO(b"x"))
        assert uploads.look(upload)["received"] == []

    def test_ranges_are_merged(self) -> None:
        rng = random.Random(3)
        for _ in range(300):
            ranges = [(start, start + rng.randint(1, 5)) for start in (rng.randint(0, 30) for _ in range(8))]
            found = merge_ranges(ranges)
            assert {byte for low, high in found for byte in range(low, high)} == {
                byte for low, high in ranges for byte in range(low, high)
            }
            assert all(first[1] < second[0] for first, second in itertools.pairwise(found))


class TestFinish:
    def test_an_upload_with_missing_pieces_is_not_finished(self, uploads: Uploads, root: Path) -> None:
        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, 400_000)
        with pytest.raises(Incomplete, match="600000"):
            uploads.finish(upload, None)
        assert uploads.look(upload)["received"] == [(0, 400_000)]
        assert not (root / "a.bin").exists()

    def test_bytes_with_the_wrong_digest_are_discarded(self, uploads: Uploads, root: Path) -> None:
        (root / "a.bin").write_bytes(b"earlier")
        upload = named(uploads, "a.bin")
        add(uploads, upload, 0, len(DATA), DATA[::-1])
        with pytest.raises(Damaged) as caught:
            uploads.finish(upload, None)
        assert problem(caught.value)["retryable"] is True
        assert hidden(root) == []
        assert (root / "a.bin").read_bytes() == b"earlier"
        assert uploads.look(upload)["received"] == []
        assert send(uploads, "a.bin")["state"] == "complete"

    def test_an_empty_file_needs_no_pieces(self, uploads: Uploads, root: Path) -> None:
        upload = named(uploads, "deep/empty", b"")
        assert uploads.finish(upload, None)["received"] == []
        assert (root / "deep/empty").read_bytes() == b""
        assert uploads.finish(upload, None)["state"] == "complete"
        with pytest.raises(Damaged):
            uploads.finish(uploads.find("other", 0, "0" * 64, Digest("sha256", "0" * 64)), None)
        assert hidden(root) == []

    def test_a_finish_during_the_digest_can_be_repeated(
        self, uploads: Uploads, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, gate, real = named(uploads, "a.bin"), threading.Event(), Prefix.read
        made = []

        def slow(self: Prefix, stream: io.BufferedReader, stop: int | None = None) -> None:
            if stop is None:
                made.append(stream.name)
                gate.wait()
            real(self, stream, stop)

        monkeypatch.setattr(Prefix, "read", slow)
        monkeypatch.setattr(digests_module, "DIGEST_TIMEOUT_SEC", 0.01)
        add(uploads, upload, 0, len(DATA))
        assert uploads.finish(upload, None)["state"] == "checking"
        # A repeated piece does not invalidate the digest.
        add(uploads, upload, 0, 100)
        gate.set()
        monkeypatch.setattr(digests_module, "DIGEST_TIMEOUT_SEC", 60)
        assert uploads.finish(upload, None)["state"] == "complete"
        assert len(made) == 1
        assert (root / "a.bin").read_bytes() == DATA

    @unix
    def test_a_partial_file_removed_during_the_check_is_incomplete(
        self, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, real = named(uploads, "a.bin"), Digests.get

        def removed(self: Digests, file: Path, *rest: Any) -> Digest | None:
            upload.partial.unlink()
            return real(self, file, *rest)

        add(uploads, upload, 0, len(DATA))
        monkeypatch.setattr(Digests, "get", removed)
        with pytest.raises(Incomplete, match=f"{len(DATA)} of its {len(DATA)} bytes"):
            uploads.finish(upload, None)

    def test_a_file_whose_times_keep_changing_stays_in_checking(
        self, uploads: Uploads, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, real = named(uploads, "a.bin"), Digests.get
        times = itertools.count(1)

        def touched(self: Digests, file: Path, *rest: Any) -> Digest | None:
            found = real(self, file, *rest)
            os.utime(file, (0, next(times)))
            return found

        add(uploads, upload, 0, len(DATA))
        with monkeypatch.context() as patched:
            patched.setattr(Digests, "get", touched)
            assert uploads.finish(upload, None)["state"] == "checking"
        assert uploads.finish(upload, None)["state"] == "complete"

    def test_an_identical_existing_file_is_complete_and_untouched(self, uploads: Uploads, root: Path) -> None:
        (root / "a.bin").write_bytes(DATA)
        before = (root / "a.bin").stat()
        upload = named(uploads, "a.bin")
        assert uploads.look(upload)["state"] == "complete"
        assert add(uploads, upload, 0, 100)["state"] == "complete"
        assert uploads.finish(upload, 0)["state"] == "complete"
        assert (root / "a.bin").stat() == before
        assert hidden(root) == []
        # A finish whose reply was lost, repeated to the next executor.
        assert uploads_in(root).finish(upload, 0)["state"] == "complete"

    def test_a_different_file_of_the_same_size_is_replaced(self, uploads: Uploads, root: Path) -> None:
        (root / "a.bin").write_bytes(bytes(len(DATA)))
        assert uploads.look(named(uploads, "a.bin"))["state"] == "open"
        send(uploads, "a.bin")
        assert (root / "a.bin").read_bytes() == DATA

    def test_an_open_reader_of_a_replaced_file_reads_it_whole(self, uploads: Uploads, root: Path) -> None:
        (root / "a.bin").write_bytes(b"earlier")
        if os.name == "nt":
            pytest.skip("Windows replaces no open file")
        with (root / "a.bin").open("rb") as reader:
            send(uploads, "a.bin")
            assert reader.read() == b"earlier"

    @unix
    def test_the_mode_is_the_default_or_the_replaced_files(self, uploads: Uploads, root: Path) -> None:
        (root / "plain").touch()
        (root / "earlier.sh").touch()
        (root / "earlier.sh").chmod(0o751)
        for name in ("new", "earlier.sh"):
            send(uploads, name)
        modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("plain", "new", "earlier.sh")}
        assert modes["new"] == modes["plain"]
        assert modes["earlier.sh"] == 0o751

    def test_a_drive_without_modes_and_times_accepts_uploads(
        self, uploads: Uploads, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        (root / "a.bin").touch()
        monkeypatch.setattr(os, "utime", refuse)
        monkeypatch.setattr(Path, "chmod", refuse)
        assert send(uploads, "a.bin", modified_ns=1)["state"] == "complete"


class TestPlaces:
    @pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", f"{STATE}/x", f"{STATE}/jobs/1/job.json"])
    def test_no_path_leaves_the_root_or_enters_the_state_folder(self, uploads: Uploads, root: Path, path: str) -> None:
        with pytest.raises(OutsideRoot):
            named(uploads, path)
        assert hidden(root) == []

    @unix
    def test_a_link_out_of_the_root_is_refused_at_any_step(self, uploads: Uploads, root: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (root / "out").symlink_to(tmp_path / "outside")
        (root / "file").symlink_to(tmp_path / "outside/x")
        for path in ("out/x", "file"):
            with pytest.raises(OutsideRoot):
                named(uploads, path)
        upload = named(uploads, "later/x")
        (root / "later").symlink_to(tmp_path / "outside")
        with pytest.raises(OutsideRoot):
            add(uploads, upload, 0, 10)
        assert list((tmp_path / "outside").iterdir()) == []

    @unix
    def test_a_link_in_the_root_is_kept_and_its_target_replaced(self, uploads: Uploads, root: Path) -> None:
        (root / "folder").mkdir()
        (root / "folder/target").write_text("target")
        (root / "link").symlink_to("folder/target")
        send(uploads, "link")
        assert (root / "folder/target").read_bytes() == DATA
        assert (root / "link").is_symlink()

    def test_a_folder_cannot_be_an_uploads_goal(self, uploads: Uploads, root: Path) -> None:
        (root / "folder").mkdir()
        for path in ("", ".", "folder", "folder/", "new/", "folder/.."):
            with pytest.raises(IsADirectory):
                named(uploads, path)
        upload = named(uploads, "later")
        (root / "later").mkdir()
        with pytest.raises(IsADirectory):
            uploads.look(upload)
        with pytest.raises(IsADirectory):
            add(uploads, upload, 0, 9)

    def test_a_file_in_the_way_is_named(self, uploads: Uploads, root: Path) -> None:
        (root / "file").write_text("x")
        upload = named(uploads, "file/deep/er")
        with pytest.raises(InvalidArgument, match=f"{root / 'file'} is a file"):
            add(uploads, upload, 0, 10)

    @pytest.mark.parametrize("name", ["ü" * 127, "名" * 85, "a b+c%d&é.😀", "x" * 255, "-", "~", "a\nb", 'q"uote'])
    @unix
    def test_every_valid_name_is_accepted(self, uploads: Uploads, root: Path, name: str) -> None:
        assert send(uploads, name)["state"] == "complete"
        assert (root / name).read_bytes() == DATA

    def test_impossible_names_are_refused(self, uploads: Uploads, root: Path) -> None:
        for path in ("a\0b", "x" * 256, "ok/" + "x" * 256, ".smart-colab-" + "0" * 32 + ".partial"):
            with pytest.raises(InvalidArgument):
                add(uploads, named(uploads, path), 0, 10)

    @unix
    def test_an_unwritable_folder_is_reported(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            root.chmod(0o755)
            (root / STATE).mkdir(mode=0o777)
            (root / STATE).chmod(0o777)
            (root / "closed").mkdir()
            uploads, user = uploads_in(root), os.geteuid()
            (root / "closed").chmod(0o555)
            if user == 0:  # root may write everywhere
                os.seteuid(65534)
            try:
                with pytest.raises(InvalidArgument, match="cannot be written by the user"):
                    add(uploads, named(uploads, "closed/a"), 0, 10)
                with pytest.raises(InvalidArgument, match="cannot be written by the user"):
                    uploads.finish(named(uploads, "closed/b", b""), None)
            finally:
                os.seteuid(user)

"""The process of a preview: what it may do, and what one that goes wrong costs."""

import json
import os
import sqlite3
import sys
import threading
from contextlib import closing
from typing import Any

import numpy
import psutil
import pytest
from preview_helpers import Desk, npy, refused, saved, tarred, write_sqlite

from smart_colab_executor.core.errors import Busy, Occupied, OutsideRoot
from smart_colab_executor.files import previews as module

unix = pytest.mark.skipif(os.name == "nt", reason="Unix only")


@pytest.fixture(autouse=True)
def nothing_stays() -> Any:
    """No process outlives its preview."""
    before = psutil.Process().children()
    yield
    assert [child for child in psutil.Process().children() if child not in before] == []


class TestTheProcess:
    """What a process that goes wrong costs: the code that it starts with is replaced."""

    @pytest.fixture(autouse=True)
    def file(self, desk: Desk) -> None:
        (desk.root / "a.npy").write_bytes(npy([1]))

    @staticmethod
    def starts_with(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        monkeypatch.setattr(module, "START", f"import json, os, sys, time\n{code}")

    def test_one_that_does_not_end_is_ended(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_SEC", 0.3)
        monkeypatch.setattr(module, "END_TIMEOUT_SEC", 0.3)
        for code in ("time.sleep(99)", "print('{}'); os.close(1); time.sleep(99)", "while True: pass"):
            self.starts_with(monkeypatch, code)
            error = refused(desk, "a.npy")
            assert "was not read within" in error.detail
            assert error.hint == module.PART_HINT

    @unix
    def test_one_that_crashes_is_named(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        for code, ending in [
            ("os.kill(os.getpid(), 11)", "SIGSEGV"),
            ("os._exit(3)", "exit code 3"),
            ("1/0", "exit code 1"),
        ]:
            self.starts_with(monkeypatch, code)
            error = refused(desk, "a.npy")
            assert f"({ending})" in error.detail
            assert error.hint == module.HARM_HINT

    def test_one_that_takes_too_much_memory_is_ended(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_RESIDENT_BYTES", 50_000_000)
        self.starts_with(monkeypatch, "held = bytearray(os.urandom(100_000_000)); time.sleep(99)")
        error = refused(desk, "a.npy")
        assert "more than 1024 MiB of memory" in error.detail

    @pytest.mark.skipif(sys.platform != "linux", reason="the system keeps the limit on Linux alone")
    def test_one_that_asks_for_too_much_memory_gets_none(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_MEMORY_BYTES", 200_000_000)
        bound = module.START.replace("; main()", "")
        greedy = (
            "; from smart_colab_executor.files.preview import arrays\n"
            "def read_npy(request, file, bound):\n    bound()\n    return bytearray(300_000_000)\n"
            "arrays.read_npy = read_npy\nmain()"
        )
        monkeypatch.setattr(module, "START", bound + greedy)
        assert "more than 190 MiB of memory" in refused(desk, "a.npy").detail

    def test_one_that_says_too_much_is_cut_off(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.starts_with(monkeypatch, "print('[' + '1,' * 9_000_000 + '1]')")
        assert "ended the process" in refused(desk, "a.npy").detail

    def test_one_without_the_package_names_it(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "START", f"import sys; sys.modules['numpy'] = None; {module.START}")
        found = desk.look("a.npy")
        assert (found["text"], found["missing_package"]) == (None, "numpy")
        monkeypatch.setattr(module, "START", f"import sys; sys.modules['tarfile'] = None; {module.START}")
        (desk.root / "a.tar").write_bytes(tarred({"a": b""}))
        assert "tarfile cannot be imported" in refused(desk, "a.tar").detail

    @unix
    def test_a_file_that_changes_meanwhile_is_busy(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        change = "open(json.loads(sys.argv[2])['path'], 'ab').write(b'more'); print('{\"error\": \"broken\"}')"
        self.starts_with(monkeypatch, change)
        with pytest.raises(Occupied, match="changes while it is read") as caught:
            desk.look("a.npy")
        assert caught.value.retryable is False

    def test_it_has_no_secret_and_finds_nothing_of_the_users(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SMART_COLAB_TOKEN", "HF_TOKEN", "HDF5_PLUGIN_PATH", "PYTHONSTARTUP"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("PYTHONPATH", str(desk.root))
        monkeypatch.chdir(desk.root)
        for name in ("numpy", "json", "zipfile", "sqlite3", "smart_colab_executor", "sitecustomize"):
            (desk.root / f"{name}.py").write_text(f"open({str(desk.root / 'ran')!r}, 'w').write({name!r})")
        assert "NumPy array" in desk.show("a.npy")
        assert "1 array" in desk.show("a.npz", saved(numpy.savez, a=[1]))
        assert not (desk.root / "ran").exists()
        look = "print(json.dumps({'text': json.dumps([dict(os.environ), sys.path, os.getcwd()])}))"
        self.starts_with(monkeypatch, look)
        environment, path, folder = json.loads(desk.look("a.npy")["text"])
        assert "secret" not in environment.values()
        assert str(desk.root) not in [*path, folder]
        assert "" not in path

    @unix
    def test_it_can_write_no_file(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        code = module.START.replace("; main()", "")
        path = desk.root / "made"
        writing = (
            "; from smart_colab_executor.files.preview import arrays\n"
            f"def read_npy(request, file, bound):\n    open({str(path)!r}, 'wb', 0).write(b'x')\n"
            "arrays.read_npy = read_npy\nmain()"
        )
        monkeypatch.setattr(module, "START", code + writing)
        assert "File too large" in refused(desk, "a.npy").detail
        assert path.read_bytes() == b""

    def test_only_so_many_run_at_a_time(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "SEAT_TIMEOUT_SEC", 0.2)
        self.starts_with(monkeypatch, 'time.sleep(3); print(\'{"text": "x"}\')')
        ends: list[Any] = []

        def look() -> None:
            try:
                ends.append(desk.look("a.npy")["text"])
            except Busy as error:
                ends.append(error.retryable)

        threads = [threading.Thread(target=look) for _ in range(module.MAX_AT_ONCE + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ends, key=str) == [True, "x", "x"]


@unix
class TestLinks:
    def test_a_link_within_the_root_is_followed(self, desk: Desk) -> None:
        write_sqlite(desk.root / "a.db").close()
        (desk.root / "link.db").symlink_to("a.db")
        assert "2 rows" in desk.show("link.db")

    def test_a_link_out_of_the_root_is_refused(self, desk: Desk) -> None:
        write_sqlite(desk.root.parent / "outside.db").close()
        (desk.root / "link.db").symlink_to("../outside.db")
        with pytest.raises(OutsideRoot):
            desk.look("link.db")

    def test_a_database_put_under_the_name_meanwhile_is_not_shown(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is opened by its name."""
        outside = desk.root.parent / "outside.db"
        with closing(sqlite3.connect(outside)) as base:
            base.execute("CREATE TABLE secret (x)")
        write_sqlite(desk.root / "a.db").close()
        swap = f"import os, sys, json; os.replace({str(outside)!r}, json.loads(sys.argv[2])['path']); "
        monkeypatch.setattr(module, "START", swap + module.START)
        assert "replaced while it was read" in refused(desk, "a.db").detail

    def test_a_pipe_or_a_folder_is_not_opened(self, desk: Desk) -> None:
        os.mkfifo(desk.root / "pipe.npy")
        (desk.root / "folder.zip").mkdir()
        for name, code in (("pipe.npy", "invalid_argument"), ("folder.zip", "is_a_directory")):
            with pytest.raises(Exception, match=r"regular file|folder") as caught:
                desk.look(name)
            assert caught.value.code == code  # type: ignore[attr-defined]

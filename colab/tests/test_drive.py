"""The notebook's form keeps saved sessions in the user's Google Drive."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from smart_colab_executor.notebook.drive import keep_saved_sessions
from smart_colab_executor.notebook.tunnels import SetupError


@pytest.fixture
def drive(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Imitate google.colab.drive; return the folder of the user's own files, which is there once it is mounted."""
    mine = root / "drive" / "MyDrive"

    def mount(mountpoint: str) -> None:
        assert mountpoint == str(root / "drive")
        mine.mkdir(parents=True, exist_ok=True)

    package, module = ModuleType("google.colab"), ModuleType("google.colab.drive")
    module.mount = mount  # type: ignore[attr-defined]
    package.drive = module  # type: ignore[attr-defined]
    for name, one in {"google": ModuleType("google"), "google.colab": package, "google.colab.drive": module}.items():
        monkeypatch.setitem(sys.modules, name, one)
    return mine


def test_saved_sessions_are_in_the_drive_also_when_the_cell_runs_again(root: Path, drive: Path) -> None:
    for folder in ("smart-colab", "smart-colab", "other/place"):
        keep_saved_sessions(root, folder)
        (root / "saved_sessions" / "main.zip").write_text(folder)
        assert (drive / folder / "main.zip").read_text() == folder


@pytest.mark.parametrize("folder", ["../elsewhere", "/etc", "a/../../b"])
def test_a_folder_outside_the_drive_is_refused_before_it_is_mounted(root: Path, drive: Path, folder: str) -> None:
    with pytest.raises(SetupError, match="must be a folder in your Drive"):
        keep_saved_sessions(root, folder)
    assert not drive.exists()


def test_sessions_that_were_saved_without_a_drive_are_not_hidden(root: Path, drive: Path) -> None:
    (root / "saved_sessions").mkdir()
    with pytest.raises(SetupError, match="is there already: move what it holds"):
        keep_saved_sessions(root, "smart-colab")
    assert drive.exists()


def test_elsewhere_than_in_colab_the_form_is_to_be_left_empty(root: Path) -> None:
    with pytest.raises(SetupError, match="leave drive_folder empty"):
        keep_saved_sessions(root, "smart-colab")

"""The environment of kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from smart_colab_executor.kernels.environment import environment

OURS = str(Path(sys.executable).parent)


def test_a_kernel_finds_its_own_python_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / Path(sys.executable).name
    other.touch(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), OURS]))
    assert not other.samefile(sys.executable)
    folders = environment()["PATH"].split(os.pathsep)
    assert (folders[0], folders[-2:]) == (OURS, [str(tmp_path), OURS])


def test_a_search_path_that_finds_it_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = os.pathsep.join([str(tmp_path), OURS])
    monkeypatch.setenv("PATH", path)
    assert environment()["PATH"] == path


@pytest.mark.skipif(sys.platform == "win32", reason="needs a link")
@pytest.mark.parametrize("is_environment", [True, False])
def test_a_link_to_it_is_it_outside_of_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_environment: bool
) -> None:
    (tmp_path / Path(sys.executable).name).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", "/environment" if is_environment else sys.base_prefix)
    assert (environment()["PATH"] == str(tmp_path)) is not is_environment

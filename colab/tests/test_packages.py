"""What code installs is known as far as another machine could have it, too."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from harness import Executor

from smart_colab_executor.machine.packages import Packages

COMMIT = "0123abcd"


def install(folder: Path, name: str, url: str | None = None, **origin: object) -> None:
    """Make what an installer leaves of a package."""
    description = folder / f"{name}.dist-info"
    description.mkdir(parents=True)
    if url is not None:
        (description / "direct_url.json").write_text(json.dumps({"url": url, **origin}), "utf-8")
    os.utime(folder, ns=(0, folder.stat().st_mtime_ns + 1))  # two changes within a tick of the clock


def test_changes_are_reported_as_what_an_installer_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(folder)
    install(folder, "Was_There-1.0")
    install(folder, "other-1.0")
    packages = Packages()
    assert packages.changes() == {}
    install(folder, "new.one-2.0+cu1")
    install(folder, "from_git-1.0", "https://x/y.git", vcs_info={"vcs": "git", "commit_id": COMMIT})
    install(folder, "from_url-1.0", "https://x/y.whl", archive_info={})
    install(folder, "from_here-1.0", tmp_path.as_uri(), dir_info={"editable": True})
    (folder / "Was_There-1.0.dist-info").rename(folder / "was_there-1.1.dist-info")
    wanted: dict[str, str | None] = {
        "new-one": "new-one==2.0+cu1",
        "from-git": f"from-git @ git+https://x/y.git@{COMMIT}",
        "from-url": "from-url @ https://x/y.whl",
        "from-here": None,
        "was-there": "was-there==1.1",
    }
    assert packages.changes() == wanted
    # What was reported is taken back.
    for name in ("new.one-2.0+cu1", "other-1.0"):
        shutil.rmtree(folder / f"{name}.dist-info")
    install(folder, "last-1.0")
    assert packages.changes() == wanted | {"new-one": None, "other": None, "last": "last==1.0"}


def test_what_an_uninstalled_package_lay_over_is_nothing_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, own = tmp_path / "base/site-packages", tmp_path / "own/site-packages"
    for folder in (base, own):
        monkeypatch.syspath_prepend(folder)
    install(base, "needed-1.2.0")
    packages = Packages()
    install(own, "needed-0.12.0")
    assert packages.changes() == {"needed": "needed==0.12.0"}
    after_a_restart = Packages()
    shutil.rmtree(own / "needed-0.12.0.dist-info")
    os.utime(own, ns=(0, own.stat().st_mtime_ns + 1))
    assert packages.changes() == after_a_restart.changes() == {"needed": None}
    install(own, "needed-1.2.0")
    assert packages.changes() == {"needed": "needed==1.2.0"}


def test_each_job_reports_what_has_changed_by_its_end(tmp_path: Path) -> None:
    with Executor(tmp_path, env={"PYTHONUSERBASE": str(tmp_path)}) as executor:
        [before] = executor.run("import os, site").of("finished")
        code = "os.makedirs(site.getusersitepackages() + '/tiny_needed-1.0.dist-info')"
        [after] = executor.run(code).of("finished")
        [later] = executor.run("1", session="other").of("finished")
    assert before["packages"] == {}
    assert after["packages"] == later["packages"] == {"tiny-needed": "tiny-needed==1.0"}

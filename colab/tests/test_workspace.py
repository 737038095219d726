"""The working folder, or another current folder, is removed or replaced while the executor runs."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor, wait_until

Start = Callable[..., Executor]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a current folder cannot be removed there")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "workspace"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    return folder


@pytest.fixture
def executor(start: Start, workspace: Path, tmp_path: Path) -> Executor:
    # The bridge starts the executor there.
    running = start("--root", str(workspace), "--state", str(tmp_path / "state"), cwd=workspace)
    running.run("import os, pathlib")
    return running


def test_a_removed_workspace_is_recreated(executor: Executor, workspace: Path) -> None:
    shutil.rmtree(workspace.parent)
    wait_until(workspace.is_dir)
    wait_until(lambda: stat.S_IMODE(workspace.stat().st_mode) == 0o700)
    assert executor.get("/files/list")["entries"] == []
    assert executor.log.read_text().count("the files that were in it are gone") == 1


def test_a_running_kernel_moves_to_the_recreated_workspace(executor: Executor, workspace: Path) -> None:
    shutil.rmtree(workspace.parent)
    job = executor.run("pathlib.Path('new').touch()\nos.system('pwd')\nprint(os.getcwd());")
    assert job.stdout == f"{workspace}\n" * 2
    said = f"[the current folder {workspace} was removed; code runs in a new folder of that name]\n"
    assert job.streams["stderr"] == said
    assert (workspace / "new").exists()
    assert executor.run("os.getcwd();").streams["stderr"] == ""


def test_new_kernels_start_where_the_workspace_was_removed(executor: Executor, workspace: Path) -> None:
    shutil.rmtree(workspace.parent)
    assert executor.run("import os\nprint(os.getcwd())", session="other").stdout == f"{workspace}\n"
    shutil.rmtree(workspace.parent)
    executor.post("/sessions/main/restart")
    assert executor.run("import os\nprint(os.getcwd())").stdout == f"{workspace}\n"
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o700


def test_a_file_in_place_of_the_workspace_is_kept_and_reported(executor: Executor, workspace: Path) -> None:
    shutil.rmtree(workspace)
    workspace.write_text("mine")
    job = executor.run("print(1)", session="other")
    assert (job.state, job.reason, job.job["started_at"]) == ("failed", "kernel_died", None)
    said = f"the working folder {workspace} is now a file: move it away"
    assert job.of("error")[0]["evalue"].startswith(f"{said}. Send the code again")
    restarted = executor.call("POST", "/sessions/main/restart")
    assert (restarted.status, said in restarted.json["detail"]) == (503, True)
    assert workspace.read_text() == "mine"
    workspace.unlink()
    for session in ("other", "main"):
        assert executor.run("import os\nprint(os.getcwd())", session=session).stdout == f"{workspace}\n"


def test_a_removed_current_folder_is_reported_with_a_remedy(executor: Executor, workspace: Path) -> None:
    executor.run("os.mkdir('below'); os.chdir('below')")
    shutil.rmtree(workspace / "below")
    for _ in range(2):
        job = executor.run("print(2)")
        below = workspace / "below"
        assert job.streams == {
            "stdout": "2\n",
            "stderr": f"[the current folder {below} was removed, so relative paths fail;"
            f" call os.chdir('{workspace}')]\n",
        }
    assert executor.run(f"os.chdir('{workspace}')\nprint(os.getcwd())").stdout == f"{workspace}\n"
    assert executor.run("print(3)").streams == {"stdout": "3\n", "stderr": ""}


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell its name")
def test_a_current_folder_removed_by_the_cell_that_entered_it_is_reported_by_its_name(
    executor: Executor, workspace: Path
) -> None:
    brief = workspace / "brief"
    enter_and_remove = f"os.mkdir('{brief}')\nos.chdir('{brief}')\nos.rmdir('{brief}')"
    assert executor.run(enter_and_remove).streams["stderr"] == ""
    said = f"[the current folder {brief} was removed, so relative paths fail; call os.chdir('{workspace}')]\n"
    assert executor.run("print(1)").streams == {"stdout": "1\n", "stderr": said}
    brief.mkdir()
    said = f"[the current folder {brief} was removed; code runs in a new folder of that name]\n"
    assert executor.run("print(os.getcwd())").streams == {"stdout": f"{brief}\n", "stderr": said}


@pytest.mark.parametrize("replaced", [".", "jobs", "kernels", "uploads"])
def test_a_file_in_place_of_a_state_folder_is_set_aside(executor: Executor, tmp_path: Path, replaced: str) -> None:
    folder = tmp_path / "state" / replaced
    if folder.exists():
        folder.rename(tmp_path / "gone")
    folder.write_text("mine")
    aside = folder.with_name(f"{folder.name}.unreadable")
    refused = []

    def runs() -> bool:
        reply = executor.call("POST", "/execute", {"code": "print(1)", "timeout": 30})
        refused.extend([reply.json] if reply.status != 200 else [])
        return reply.status == 200 and reply.json["stdout"] == "1\n" and aside.exists()

    wait_until(runs)
    assert {problem["code"] for problem in refused} <= {"busy"}
    assert all(problem["retryable"] and "nothing was run" in problem["hint"] for problem in refused)
    assert aside.read_text() == "mine"
    assert executor.run("print(2)", session="other").stdout == "2\n"
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform != "linux", reason="where no user may write")
def test_an_unwritable_state_folder_is_not_reported_as_full(executor: Executor, tmp_path: Path) -> None:
    jobs = tmp_path / "state" / "jobs"
    jobs.rename(tmp_path / "gone")
    jobs.symlink_to("/proc/1")
    reply = executor.call("POST", "/execute", {"code": "print(1)", "timeout": 30})
    assert (reply.status, reply.json["code"]) == (503, "busy")
    assert "could not be recorded in " in reply.json["detail"]
    jobs.unlink()
    (tmp_path / "gone").rename(jobs)
    assert executor.run("print(1)").stdout == "1\n"

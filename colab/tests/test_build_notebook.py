import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import build_notebook as built

NOTEBOOK = nbformat.read(built.NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_the_committed_notebook_matches_the_package() -> None:
    done = subprocess.run(
        [sys.executable, built.HERE / "build_notebook.py", "--check"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_notebook_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "NOTEBOOK", tmp_path / "other.ipynb")
    assert built.main(["--check"]) == 1
    assert built.main([]) == 0
    assert built.main(["--check"]) == 0
    (tmp_path / "other.ipynb").write_text("{}")
    assert built.main(["--check"]) == 1
    assert built.main(["--unknown"]) == 2


def test_the_notebook_has_a_page_a_form_and_a_start_cell() -> None:
    nbformat.validate(NOTEBOOK)
    assert [(cell.id, cell.cell_type) for cell in NOTEBOOK.cells] == [
        ("about", "markdown"),
        ("settings", "code"),
        ("start", "code"),
    ]
    assert all(not cell.outputs for cell in NOTEBOOK.cells[1:])


def test_the_notebook_contains_every_file_of_the_package_unchanged() -> None:
    carried = built.carried()
    wanted = {file.relative_to(built.PACKAGE).as_posix() for file in built.PACKAGE.rglob("*.py")}
    page = {"page/index.html", "page/style.css", "page/app.js", "page/icon.svg", "page/vendor/uPlot.iife.min.js"}
    assert {*wanted, *page, "requirements.txt"} <= set(carried)
    assert not any("__pycache__" in name for name in carried)
    archive = built.ARCHIVE.search(NOTEBOOK.cells[2].source)
    assert archive
    assert built.unpacked(archive[0]) == carried


def test_a_change_of_the_package_changes_one_line() -> None:
    before, after = (built.build({"a.py": text}).splitlines() for text in ("a = 1\n", "a = 2\n"))
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_the_same_files_give_the_same_notebook() -> None:
    files = {"a.py": "a = 'é'\n", "b/c.py": ""}
    assert built.build(files) == built.build(dict(reversed(files.items())))
    assert built.unpacked(built.packed(files)) == files


def test_the_notebook_is_compared_independently_of_the_compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.py": "a = 1\n" * 100}
    with monkeypatch.context() as patch:
        patch.setattr(built, "COMPRESSION_LEVEL", 0)
        other = built.build(files)
    assert other != built.build(files)
    assert built.is_in_step(other, files)
    assert not built.is_in_step(other, {"a.py": "a = 2\n"})
    assert not built.is_in_step(other.replace("title Settings", "title Others"), files)


def test_the_start_cell_unpacks_and_starts_its_package(tmp_path: Path) -> None:
    """Use a package that prints its start, with a stale copy of another version in place."""
    root = tmp_path / "root"
    stale = root / ".smart_colab" / "package" / "smart_colab_executor"
    stale.mkdir(parents=True)
    (stale / "left_over.py").write_text("")
    start = "def start(*a):\n    print('started', *a)\n"
    files = {"__init__.py": "", "notebook/__init__.py": "", "notebook/start.py": start}
    cells = nbformat.reads(built.build(files), as_version=4).cells  # type: ignore[no-untyped-call]
    script = "\n".join(["import smart_colab_executor.core.errors", cells[1].source, cells[2].source, cells[2].source])
    environment = os.environ | {"SMART_COLAB_NOTEBOOK_ROOT": str(root), "PYTHONPATH": str(built.HERE)}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines() == [f"started ngrok  {root}  executor "] * 2
    assert not (stale / "left_over.py").exists()


def test_the_page_mentions_what_users_must_know() -> None:
    page = " ".join(NOTEBOOK.cells[0].source.split())
    for said in (
        "bypassing the notebook UI to interact primarily via a web UI",
        "remote control such as SSH shells, remote desktops",
        "positive compute unit balance",
        "colab-mcp",
        "google-colab-cli",
        "Anyone with it can run any code on this machine",
        "SMART_COLAB_TOKEN",
        "NGROK_TOKEN",
        "NGROK_DOMAIN",
        "ALLOWED_IPS",
    ):
        assert said in page

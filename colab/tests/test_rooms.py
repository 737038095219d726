"""The package keeps its structure: rooms on floors, with the imports allowed to each."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "smart_colab_executor"
NAME = PACKAGE.name

# A room may import rooms of earlier floors.
FLOORS = (
    ("in_kernel", "relay", "wire"),
    ("core",),
    ("machine", "guard"),
    ("kernels", "files", "notebook"),
    ("jobs",),
    ("sessions",),
    ("http",),
    ("app",),
    ("cli",),
    ("__main__",),
)
MAX_ROOMS = 12
# Rooms that may import Flask or its dependencies.
WEB = {"flask", "werkzeug", "waitress"}
WEB_ROOMS = {"http", "app"}
# These run where nothing is installed for us: beside the user's code, before the notebook has installed anything, and
# in a kernel of a Jupyter server. The modules named here are imported once they are known to exist.
STANDARD_LIBRARY_AND = {
    "in_kernel": {"matplotlib"},
    "notebook": {"google", "kaggle_secrets", "ngrok"},
    "relay": {"IPython", "ipykernel", "psutil"},
}


def imports(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield what a file of the package imports, as (room, "") within the package and ("", distribution) outside."""
    folder = [NAME, *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) + 1 - node.level], *(node.module or "").split(".")] if node.level else []
            module = ".".join(filter(None, base)) if node.level else node.module or ""
            modules = [f"{module}.{alias.name}" for alias in node.names] if module == NAME else [module]
        else:
            continue
        for module in modules:
            first, _, rest = module.partition(".")
            if first != NAME:
                yield "", first
            elif (room := rest.partition(".")[0]) not in ("", "__version__"):
                yield room, ""


def room_of(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def floor_of(room: str) -> int | None:
    return next((floor for floor, rooms in enumerate(FLOORS) if room in rooms), None)


def faults(path: str, text: str) -> list[str]:
    """Return the violations in a file, given its path in the package."""
    own = room_of(path)
    if own == "__init__":
        return []
    floor = floor_of(own)
    if floor is None:
        return [f"{path}: {own} has no floor"]
    found = []
    for room, other in imports(path, text):
        below = floor_of(room)
        if room and room != own and (below is None or below >= floor):
            found.append(f"{path}: {own} imports {room}, which is not below it")
        if other in WEB and own not in WEB_ROOMS:
            found.append(f"{path}: imports {other}, which belongs to {', '.join(sorted(WEB_ROOMS))}")
        elif own in STANDARD_LIBRARY_AND and other not in {"", *sys.stdlib_module_names, *STANDARD_LIBRARY_AND[own]}:
            found.append(f"{path}: imports {other}, which may not be there")
    return found


def files() -> dict[str, str]:
    return {file.relative_to(PACKAGE).as_posix(): file.read_text("utf-8") for file in sorted(PACKAGE.rglob("*.py"))}


def test_imports_only_go_down_and_stay_where_they_belong() -> None:
    assert [fault for path, text in files().items() for fault in faults(path, text)] == []


def test_every_room_of_the_package_is_documented() -> None:
    rooms = {path.partition("/")[0] for path in files() if "/" in path}
    assert len(rooms) <= MAX_ROOMS
    planned = {room for floor in FLOORS for room in floor} | {"__init__"}
    assert {room_of(path) for path in files()} == planned
    for room in rooms:
        said = ast.get_docstring(ast.parse(files()[f"{room}/__init__.py"]))
        assert said, f"{room}/__init__.py does not open with what the room is for"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("core/errors.py", "from ..jobs.job import Job"),
        ("kernels/kernel.py", "from ..jobs import job"),
        ("kernels/kernel.py", "from .. import sessions"),
        ("files/files.py", "from ..kernels import kernel"),
        ("jobs/job.py", "import smart_colab_executor.http.replies"),
        ("jobs/job.py", "from smart_colab_executor import app"),
        ("jobs/job.py", "def f():\n    from flask import g"),
        ("sessions/session.py", "import waitress.server"),
        ("in_kernel/loops.py", "from ..core import errors"),
        ("in_kernel/loops.py", "import psutil"),
        ("notebook/start.py", "import psutil"),
        ("relay/relay.py", "from ..core import errors"),
        ("relay/starter.py", "import zmq"),
        ("app.py", "from . import cli"),
        ("cellar/a.py", ""),
    ],
)
def test_a_file_that_breaks_a_rule_is_detected(path: str, text: str) -> None:
    assert len(faults(path, text)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("jobs/job.py", "from .. import __version__\nfrom ..core import errors\nfrom . import spool\nimport psutil"),
        ("http/jobs.py", "from flask import Flask\nfrom . import execute\nfrom ..sessions.registry import Sessions"),
        ("in_kernel/loops.py", "import ast\nfrom . import journal"),
        ("app.py", "from .http.jobs import add_job_routes"),
    ],
)
def test_allowed_imports_are_accepted(path: str, text: str) -> None:
    assert faults(path, text) == []

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import Executor
from preview_helpers import Desk
from start_cell import Run
from upload_helpers import STATE, uploads_in

from smart_colab_executor.files.content_root import ContentRoot
from smart_colab_executor.files.files import Files
from smart_colab_executor.files.uploads import Uploads
from smart_colab_executor.jobs.store import JobStore

# A shell that runs the tests in the background makes them, and their child processes, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Share one executor among tests that keep it usable. Behind a tunnel, so that a test can use any address."""
    with Executor(tmp_path_factory.mktemp("root"), "--behind", "cloudflare") as running:
        yield running


@pytest.fixture
def session(request: pytest.FixtureRequest, executor: Executor) -> Iterator[str]:
    """Name a session that the tests of a module share, or one for a test marked `fresh_kernel`.

    A kernel takes longer to start than most tests to run. The mark is for those that need an unused one or spoil it.
    """
    if request.node.get_closest_marker("fresh_kernel") is None:
        yield request.getfixturevalue("module_session")
    else:
        yield from named_session(executor)


@pytest.fixture(scope="module")
def module_session(executor: Executor) -> Iterator[str]:
    """See `session`."""
    yield from named_session(executor)


def named_session(executor: Executor) -> Iterator[str]:
    name = f"s-{uuid.uuid4().hex[:8]}"
    yield name
    executor.call("DELETE", f"/sessions/{name}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """Start executors for one test; all of them are under `tmp_path`."""
    with ExitStack() as stack:

        def begin(*arguments: str, **options: Any) -> Executor:
            return stack.enter_context(Executor(tmp_path, *arguments, **options))

        yield begin


@pytest.fixture
def open_store() -> Iterator[Callable[..., JobStore]]:
    """Open stores of jobs, each in a folder and under a boot id; all are closed after the test."""
    with ExitStack() as stack:

        def opened(folder: Path, boot_id: str | None = None) -> JobStore:
            store = JobStore(folder, boot_id or str(uuid.uuid4()))
            store.load({})
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Create an empty content root."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def files(root: Path) -> Files:
    """Serve the files of a content root without an executor."""
    return Files(ContentRoot(root))


@pytest.fixture
def uploads(root: Path) -> Uploads:
    """Take uploads into a content root without an executor."""
    (root / STATE).mkdir()
    return uploads_in(root)


@pytest.fixture
def desk(root: Path) -> Desk:
    """Serve previews of the files of a content root without an executor."""
    return Desk(root)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*command: str, **environment: str) -> Run:
        runs.append(Run(*command, root=tmp_path, **environment))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        assert run.process.stdout
        run.process.stdout.close()


@pytest.fixture
def cell(launch: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Run the start cell's code without a kernel."""
    script = "import sys; from smart_colab_executor.notebook.start import start; start(*sys.argv[1:])"
    return lambda tunnel="none", **environment: launch("-c", script, tunnel, "", str(tmp_path), **environment)

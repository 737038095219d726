"""Streams and descriptors that a cell closes, or redirects and never restores."""

from __future__ import annotations

import re
import sys

import pytest
from harness import Executor, Finished

PRINTS = """
import os, sys
print("python")
os.system("echo child")
print("python error", file=sys.stderr)
os.system("echo child error >&2");
"""
ALL = {"stdout": "python\nchild\n", "stderr": "python error\nchild error\n"}
SAYS = re.compile(r"^\[(sys\.std\w+|descriptor \d) .*\. To restore it: (.*)\]$", re.MULTILINE)

posix = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not followed there")


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name)[-60:].strip("-")


def way_back(job: Finished) -> dict[str, str]:
    """Return the redirected streams that a job reports, with the code that restores each."""
    return dict(SAYS.findall(job.streams["stderr"]))


@posix
@pytest.mark.parametrize(
    "code",
    [
        "os.close(1)",
        "os.close(2)",
        "os.closerange(1, 3)",
        "os.closerange(0, 3)",
        "os.close(sys.stdout.fileno())",
        "with os.fdopen(1, 'w') as file: file.write('written')",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)\nos.close(1)",
    ],
)
def test_closing_a_descriptor_loses_nothing(executor: Executor, session: str, code: str) -> None:
    first = executor.run(f"import os, sys\n{code}\nos.system('echo child');", session=session)
    assert first.stdout == ("written" if "written" in code else "") + "child\n"
    for _ in range(2):
        assert executor.run(PRINTS, session=session).streams == ALL


@posix
def test_descriptors_closed_by_c_code_are_restored(executor: Executor, session: str) -> None:
    # A file opened in another thread could reuse their numbers.
    executor.run("import ctypes\nget_ipython().history_manager.enabled = False", session=session)
    job = executor.run("for fd in range(3): ctypes.CDLL(None).close(fd)", session=session)
    said = "[descriptor {} was closed by the code and has been restored]\n"
    assert job.streams["stderr"] == said.format(1) + said.format(2)
    for _ in range(2):
        assert executor.run(PRINTS, session=session).streams == ALL


@pytest.mark.parametrize("code", ["sys.stdout.close()", "sys.stderr.close()", "with sys.stdout: print('inside')"])
def test_the_kernels_streams_cannot_be_closed(executor: Executor, session: str, code: str) -> None:
    assert executor.run(f"import sys\n{code}\nprint('after')", session=session).stdout.endswith("after\n")
    assert executor.run(PRINTS, session=session).streams == ALL


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("sys.stdout = open(os.devnull, 'w')", "sys.stdout"),
        ("sys.stderr = io.StringIO()", "sys.stderr"),
        ("contextlib.redirect_stdout(io.StringIO()).__enter__()", "sys.stdout"),
        ("sys.stdout = Mute(sys.stdout)", "sys.stdout"),
        pytest.param("sys.stdout = os.fdopen(os.dup(1), 'w')", "sys.stdout", marks=posix),  # a stream of that cell
        pytest.param("os.dup2(os.open(os.devnull, os.O_WRONLY), 1)", "descriptor 1", marks=posix),
        pytest.param("os.dup2(os.open('file', os.O_WRONLY | os.O_CREAT), 2)", "descriptor 2", marks=posix),
        pytest.param("ctypes.CDLL(None).dup2(os.open(os.devnull, 1), 2)", "descriptor 2", marks=posix),
    ],
)
def test_every_later_cell_reports_redirected_output(executor: Executor, session: str, code: str, name: str) -> None:
    prelude = """
import contextlib, ctypes, io, os, sys
class Mute:
    def __init__(self, stream): self.stream = stream
    def write(self, text): return len(text)
    def flush(self): self.stream.flush()
"""
    assert way_back(executor.run(f"{prelude}{code};", session=session)) == {}
    for silent in ("1", "print(2)", "1 / 0", "%%capture\nprint(3)"):
        assert list(way_back(executor.run(silent, session=session))) == [name]
    back = way_back(executor.run("print(4)", session=session))[name]
    assert executor.run(f"import os, sys\n{back};", session=session).streams == {"stdout": "", "stderr": ""}
    for _ in range(2):
        assert executor.run(PRINTS, session=session).streams == ALL


@posix
def test_the_restoring_code_works_repeatedly(executor: Executor, session: str) -> None:
    for _ in range(2):
        executor.run("import os\nnothing = os.open(os.devnull, 1)\nos.dup2(nothing, 1);", session=session)
        back = way_back(executor.run("1", session=session))["descriptor 1"]
        # Like a saved descriptor that the code closes after use.
        number = back.removeprefix("os.dup2(").partition(",")[0]
        executor.run(f"{back}\nos.close({number})", session=session)
        assert executor.run(PRINTS, session=session).streams == ALL


@pytest.mark.parametrize(
    "code",
    [
        "sys.stdout = Tee(sys.stdout, open('log', 'w'))",
        "sys.stdout = sys.__stdout__",
        pytest.param("os.dup2(2, 1)", marks=posix),
    ],
)
def test_no_note_is_printed_while_output_is_shown(executor: Executor, session: str, code: str) -> None:
    tee = """
import os, sys
class Tee:
    def __init__(self, *streams): self.streams = streams
    def write(self, text):
        for stream in self.streams: stream.write(text)
    def flush(self):
        for stream in self.streams: stream.flush()
"""
    executor.run(f"{tee}{code};", session=session)
    assert executor.run("1", session=session).streams == {"stdout": "", "stderr": ""}
    shown = executor.run("print('shown')", session=session).streams
    assert "".join(shown.values()) == "shown\n"

"""What Python does at a script's end, done at a kernel's: exit functions run, and open files are written."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Executor, wait_until

Start = Callable[..., Executor]

OPEN_FILES = """
import atexit, bz2, gzip, logging, logging.handlers, tempfile, zipfile
text = open("text", "w"); text.write("kept")
raw = open("raw", "wb"); raw.write(b"kept")
both = open("both", "w+b"); both.write(b"kept")
zipped = gzip.open("gz", "wt"); zipped.write("kept")
pressed = bz2.open("bz2", "wb"); pressed.write(b"kept")
archive = zipfile.ZipFile("zip", "w"); archive.writestr("member", "kept")
logged = logging.FileHandler("log")
logging.getLogger("mine").addHandler(logging.handlers.MemoryHandler(100, target=logged))
logging.getLogger("mine").error("kept")
folder = tempfile.TemporaryDirectory(dir=".", prefix="temporary-")
atexit.register(lambda: open("left", "w").write("open, too"))
print("ran")
"""
SAYS_BYE = "import atexit\natexit.register(print, 'second')\natexit.register(print, 'first')\nprint('ran')"


def written(folder: Path) -> dict[str, str]:
    with zipfile.ZipFile(folder / "zip") as archive:
        found = {"zip": archive.read("member")}
    found |= {"gz": gzip.decompress((folder / "gz").read_bytes()), "bz2": bz2.decompress((folder / "bz2").read_bytes())}
    found |= {name: (folder / name).read_bytes() for name in ("text", "raw", "both", "log", "left")}
    assert list(folder.glob("temporary-*")) == []
    return {name: content.decode() for name, content in found.items()}


ALL_KEPT = dict.fromkeys(("zip", "gz", "bz2", "text", "raw", "both"), "kept") | {
    "log": "kept\n",
    "left": "open, too",
}


@pytest.mark.parametrize("how", ["exit", "restart", "delete", "shutdown"])
def test_a_kernel_that_ends_writes_its_open_files(start: Start, how: str) -> None:
    executor = start()
    job = executor.run(OPEN_FILES + ("exit()" if how == "exit" else ""), session="other")
    assert (job.state, job.stdout) == ("succeeded", "ran\n")
    if how == "restart":
        executor.post("/sessions/other/restart")
    elif how == "delete":
        executor.call("DELETE", "/sessions/other")
    elif how == "shutdown":
        executor.post("/shutdown")
        executor.process.wait(40)
    assert written(executor.root) == ALL_KEPT


@pytest.mark.parametrize(
    "leave",
    ["exit()", "get_ipython().ask_exit()", "import asyncio\nasyncio.get_event_loop().stop()"],
)
def test_what_exit_functions_print_belongs_to_the_job_that_exits(executor: Executor, session: str, leave: str) -> None:
    executor.run("import atexit\natexit.register(print, 'third')", session=session)
    shows = "from IPython.display import display\natexit.register(display, {'shown': 1})"
    job = executor.run(f"{SAYS_BYE}\n{shows}\n{leave}", session=session)
    assert (job.state, job.reason, job.stdout) == ("succeeded", "exited", "ran\nfirst\nsecond\nthird\n")
    assert [event["data"]["text/plain"] for event in job.of("display_data")] == ["{'shown': 1}"]
    assert job.streams["stderr"] == ""


def test_an_exit_function_that_fails_is_reported_and_the_others_run(executor: Executor, session: str) -> None:
    job = executor.run(f"{SAYS_BYE}\natexit.register(lambda: 1 / 0)\nexit()", session=session)
    assert job.stdout == "ran\nfirst\nsecond\n"
    assert "ZeroDivisionError: division by zero" in job.streams["stderr"]


def test_what_exit_functions_print_after_the_job_is_in_its_log(executor: Executor, session: str) -> None:
    job_id = executor.submit(SAYS_BYE, session=session)
    executor.follow(job_id)
    executor.post(f"/sessions/{session}/restart")
    assert executor.call("GET", f"/jobs/{job_id}/log").body == b"ran\nfirst\nsecond\n"


def test_a_kernel_whose_loop_ends_runs_its_exit_functions(executor: Executor, session: str) -> None:
    code = f"{SAYS_BYE}\nimport asyncio, sys\nasyncio.get_event_loop().call_later(0.1, sys.exit)\nNone"
    job_id = executor.submit(code, session=session)
    kernel = executor.follow(job_id).job["kernel_id"]
    wait_until(lambda: executor.session(session)["kernel_id"] != kernel)
    wait_until(lambda: executor.call("GET", f"/jobs/{job_id}/log").body == b"ran\nfirst\nsecond\n")


def test_an_exit_function_that_does_not_end_is_not_waited_for_long(executor: Executor, session: str) -> None:
    functions = "atexit.register(time.sleep, 600)\natexit.register(print, 'first')"
    code = f"import atexit, time\n{functions}\nprint('ran')\nexit()"
    job = executor.run(code, session=session)
    assert (job.state, job.reason, job.stdout) == ("succeeded", "exited", "ran\nfirst\n")
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_a_busy_kernel_is_killed_at_once(executor: Executor, session: str) -> None:
    job_id = executor.submit(f"{SAYS_BYE}\nimport time\ntime.sleep(600)", session=session)
    executor.wait_for_output(job_id, "ran")
    executor.post(f"/sessions/{session}/restart")
    assert executor.follow(job_id).stdout == "ran\n"


def test_a_forked_child_does_not_run_the_kernel_s_exit_functions(executor: Executor, session: str) -> None:
    job = executor.run(f"{SAYS_BYE}\nimport os\nif os.fork():\n    os.wait()\nelse:\n    exit()", session=session)
    assert (job.state, job.stdout) == ("succeeded", "ran\n")

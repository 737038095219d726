"""Sessions in a Jupyter kernel that is there: a person's notebook uses it at the same time."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import PATIENCE, Executor, Finished, wait_until
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kernels are ended by signals here")


class Notebook:
    """A kernel as a Jupyter server starts it, and the client of the person who uses it."""

    def __init__(self, runtime: Path) -> None:
        self.id = str(uuid.uuid4())
        self.session = f"kernel-{self.id}"
        runtime.mkdir(exist_ok=True)
        self.root = runtime
        self.manager = KernelManager(connection_file=str(runtime / f"kernel-{self.id}.json"))
        ours = ("SMART_COLAB", "PYTEST_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.manager.start_kernel(env=self.environment)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    @property
    def pid(self) -> int:
        provisioner: Any = self.manager.provisioner
        return int(provisioner.pid)

    def send(self, code: str, **options: Any) -> str:
        return str(self.client.execute(code, **options))

    def wait(self, message_id: str) -> dict[str, Any]:
        """Wait for a cell's end; return its reply and what it has shown."""
        shown = ""
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if message["msg_type"] == "stream":
                shown += message["content"]["text"]
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == message_id:
                return {**reply["content"], "shown": shown}

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        return self.wait(self.send(code, **options))

    def gate(self, name: str) -> tuple[Path, str]:
        """Return a file, and code that runs until it exists, after it has made another file, of the name `.on`."""
        file = self.root / f"{name}-{uuid.uuid4().hex[:6]}"
        code = (
            f"import pathlib, time\npathlib.Path({str(file) + '.on'!r}).touch()\n"
            f"while not pathlib.Path({str(file)!r}).exists():\n    time.sleep(0.02)\n"
        )
        return file, code


def wait_for(file: Path) -> None:
    wait_until(Path(f"{file}.on").exists)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(scope="module")
def notebook(runtime: Path) -> Iterator[Notebook]:
    with Notebook(runtime) as running:
        yield running


@pytest.fixture(scope="module")
def adopter(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(tmp_path_factory.mktemp("root"), "--adopt-from", str(runtime)) as running:
        yield running


def state(executor: Executor, job: str) -> str:
    return str(executor.get(f"/jobs/{job}")["job"]["state"])


def test_code_shares_the_variables_of_the_notebook_and_all_its_output_arrives(
    adopter: Executor, notebook: Notebook
) -> None:
    notebook.run("table = [1, 2, 3]")
    job = adopter.run("added = sum(table)\nprint('sum', added)\nadded", session=notebook.session)
    assert (job.state, job.stdout) == ("succeeded", "sum 6\n")
    assert [event["data"]["text/plain"] for event in job.of("execute_result")] == ["6"]
    assert notebook.run("print(added)")["shown"] == "6\n"

    shown = adopter.session(notebook.session)
    assert (shown["adopted"], shown["state"], shown["kernel_id"]) == (notebook.id, "idle", job.job["kernel_id"])
    assert shown["memory_mb"] > 10
    assert adopter.session("main")["adopted"] is None
    listed = adopter.get(f"/variables?session={notebook.session}&name=t*")
    assert (listed["source"], [row["name"] for row in listed["variables"]]) == ("live", ["table"])

    failed = adopter.run("import sys\nprint('no', file=sys.stderr)\n1 / 0", session=notebook.session)
    assert (failed.state, failed.reason, failed.streams["stderr"]) == ("failed", "python_error", "no\n")
    assert failed.of("error")[0]["ename"] == "ZeroDivisionError"
    picture = "from IPython.display import display, Image\ndisplay(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(5000)))"
    assert [event["data"].keys() for event in adopter.run(picture, session=notebook.session).of("display_data")]
    child = adopter.run("import os; code = os.system('echo from a child')", session=notebook.session)
    assert child.stdout == "from a child\n"

    # Twenty megabytes of lines, and many small messages, while the person's client is connected and reads nothing.
    line = "x" * 99
    large = adopter.submit(
        f"for k in range(200_000):\n    print({line!r})\nfor k in range(5000):\n    print(k, flush=True)",
        session=notebook.session,
    )
    assert adopter.follow(large).state == "succeeded"
    log = adopter.call("GET", f"/jobs/{large}/log").body.decode()
    assert log == f"{line}\n" * 200_000 + "".join(f"{k}\n" for k in range(5000))


LOOK = """
import os, pdb, signal, subprocess, sys, threading, warnings
def _look(shell=get_ipython()):
    kernel, space = shell.kernel, [name for name in shell.user_ns if not name.startswith("_")]
    return [sys.argv, sys.path, sys.meta_path, sys.breakpointhook, sys.excepthook, threading.excepthook,
        sys.unraisablehook, sys.stdout.flush, shell.showtraceback, shell._showtraceback, shell.ask_exit,
        shell.ast_transformers, shell.run_code, shell.set_parent, shell.should_run_async, shell.enable_matplotlib,
        shell.debugger, shell.payload_manager.write_payload, shell.events.callbacks, shell.compile.cache, os._exit,
        os.execv, os.system, os.fork, subprocess.Popen.__init__, threading.Thread.start, pdb.Pdb.interaction,
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGURG), warnings.filters, kernel.session.send,
        kernel.session.pack, kernel.pre_handler_hook, kernel.do_execute, kernel.io_loop.asyncio_loop.stop,
        sorted(space), os.getcwd(), threading.active_count()]
print(*_look(), sep="\\n")
"""


def test_the_cells_of_the_notebook_stay_as_they_are(adopter: Executor, runtime: Path) -> None:
    with Notebook(runtime) as notebook:
        notebook.run(LOOK)
        notebook.run("'kept'")
        before = notebook.run(LOOK)
        assert adopter.get(f"/variables?session={notebook.session}")["source"] == "live"
        after = notebook.run(LOOK)
        assert after["shown"].splitlines() == before["shown"].splitlines()
        assert after["execution_count"] == before["execution_count"] + 1
        assert notebook.run("print(_)")["shown"] == "kept\n"
        # Nor does a loop of ours leave anything.
        loop = {"start": 0, "stop": 3, "total": 3, "on_error": "stop"}
        job = adopter.run("print(i)\ni * i", session=notebook.session, loop=loop)
        assert [event["type"] for event in job.events] == ["started", "batch", *["stream", "progress"] * 3, "finished"]
        assert [event["result"] for event in job.of("progress")] == [0, 1, 4]
        notebook.run("del i")
        assert notebook.run(LOOK)["shown"].splitlines() == before["shown"].splitlines()


def test_code_waits_for_the_cells_of_the_notebook_and_can_be_withdrawn(adopter: Executor, notebook: Notebook) -> None:
    adopter.run("1", session=notebook.session)
    gate, cell = notebook.gate("first")
    running = notebook.send(cell + "print('theirs')\nfirst = 1")
    wait_for(gate)
    withdrawn, waiting = (
        adopter.submit(code, session=notebook.session, timeout_sec=1) for code in ("taken = 1", "print(first)")
    )
    time.sleep(1.5)  # longer than its timeout, which counts from its start
    assert [adopter.get(f"/jobs/{job}")["job"]["queue_position"] for job in (withdrawn, waiting)] == [1, 2]
    shown = adopter.session(notebook.session)
    assert (shown["state"], shown["running_job"], shown["queued_jobs"]) == ("busy", None, 2)
    adopter.post(f"/jobs/{withdrawn}/interrupt", {})
    # At once, although the person's cell runs on.
    assert (adopter.follow(withdrawn).state, state(adopter, waiting)) == ("interrupted", "queued")
    gate.touch()
    assert notebook.wait(running)["shown"] == "theirs\n"
    assert adopter.follow(waiting).stdout == "1\n"
    assert notebook.run("print('taken' in globals())")["shown"] == "False\n"


def test_an_interrupt_ends_our_code_alone(adopter: Executor, notebook: Notebook) -> None:
    sleeping = adopter.submit("print('on', flush=True)\nimport time\ntime.sleep(600)", session=notebook.session)
    adopter.wait_for_output(sleeping, "on")
    gate, cell = notebook.gate("behind")
    theirs = notebook.send(cell + "print('whole')")
    adopter.post(f"/jobs/{sleeping}/interrupt", {})
    interrupted = adopter.follow(sleeping)
    assert (interrupted.state, interrupted.of("error")[0]["ename"]) == ("interrupted", "KeyboardInterrupt")
    wait_for(gate)
    # The next one is withdrawn: what runs now is not ours.
    adopter.post(f"/jobs/{adopter.submit('1', session=notebook.session)}/interrupt", {})
    gate.touch()
    assert notebook.wait(theirs)["shown"] == "whole\n"

    awaiting = adopter.submit(
        "print('on', flush=True)\nimport asyncio\nawait asyncio.sleep(600)", session=notebook.session
    )
    adopter.wait_for_output(awaiting, "on")
    adopter.post(f"/jobs/{awaiting}/interrupt", {})
    assert adopter.follow(awaiting).state == "interrupted"
    late = adopter.run("import time\ntime.sleep(600)", session=notebook.session, timeout_sec=1)
    assert (late.state, late.job["variables_lost"]) == ("timed_out", False)


@pytest.mark.parametrize("loop", [None, {"start": 0, "stop": 2, "total": 2, "on_error": "stop"}])
def test_a_failing_cell_of_the_notebook_drops_none_of_ours(
    adopter: Executor, notebook: Notebook, loop: dict[str, Any] | None
) -> None:
    adopter.run("1", session=notebook.session)
    gate, cell = notebook.gate("failing")
    failing = notebook.send(cell + "1 / 0", stop_on_error=True)
    wait_for(gate)
    waiting = adopter.submit("print('ran')", session=notebook.session, loop=loop)
    behind = adopter.submit("print('behind')", session=notebook.session)
    wait_until(lambda: adopter.session(notebook.session)["state"] == "busy")
    follower = notebook.send("print('dropped')", stop_on_error=True)
    gate.touch()
    assert notebook.wait(failing)["status"] == "error"
    assert notebook.wait(follower)["status"] == "aborted"
    job = adopter.follow(waiting)
    assert (job.state, job.stdout) == ("succeeded", "ran\n" * (2 if loop else 1))
    assert len(job.of("started")) == 1
    assert adopter.follow(behind).stdout == "behind\n"


def test_a_loop_takes_no_cell_of_the_notebook_as_its_body(adopter: Executor, notebook: Notebook) -> None:
    gate, cell = notebook.gate("loop")
    running = notebook.send(cell)
    wait_for(gate)
    loop = {"start": 0, "stop": 4, "total": 4, "on_error": "skip", "setup": "base = 10"}
    job = adopter.submit("if i == 1:\n    1 / 0\nbase + i", session=notebook.session, loop=loop)
    theirs = [notebook.send("print('mine')") for _ in range(5)]
    gate.touch()
    assert [notebook.wait(one)["shown"] for one in [running, *theirs]] == ["", *["mine\n"] * 5]
    done = adopter.follow(job)
    assert done.state == "succeeded"
    assert [event["result"] for event in done.of("progress")] == [10, None, 12, 13]
    assert done.of("progress")[1]["error"]["ename"] == "ZeroDivisionError"


def test_a_notebooks_variables_are_saved_and_loaded(adopter: Executor, notebook: Notebook) -> None:
    notebook.run("scale = 2\ndef double(x): return scale * x")
    call = f"__import__('_smart_colab').{{}}_variables({str(adopter.root)!r}, 'theirs.zip', ['double'])"
    saved = adopter.run(call.format("save"), session=notebook.session)
    assert "1 variable saved" in saved.stdout, saved
    notebook.run("del double")
    assert adopter.run(call.format("load"), session=notebook.session).state == "succeeded"
    assert notebook.run("print(double(4))")["shown"] == "8\n"


def test_what_only_the_owner_may_do_is_refused(adopter: Executor, notebook: Notebook) -> None:
    notebook.run("kept, large = 1, bytes(2_000_000)")
    refused = adopter.call("POST", f"/sessions/{notebook.session}/restart")
    assert (refused.status, "Jupyter" in refused.json["hint"]) == (400, True)
    assert adopter.call("POST", "/cleanup", {"session": notebook.session}).status == 400
    cleared = adopter.post("/cleanup", {"session": notebook.session, "variables": ["large"]})
    assert cleared["cleared_variables"] == ["large"]
    gate, cell = notebook.gate("cleanup")
    running = notebook.send(cell)
    wait_for(gate)
    unknown = f"kernel-{uuid.uuid4()}"
    assert adopter.call("GET", f"/variables?session={unknown}").status == 404
    lost = adopter.run("1", session=unknown)
    assert (lost.state, lost.reason) == ("failed", "kernel_died")
    assert "open its notebook in Jupyter" in lost.of("error")[0]["evalue"]
    gate.touch()
    notebook.wait(running)
    assert notebook.run("print(kept)")["shown"] == "1\n"


def test_the_kernel_outlives_its_session_and_every_end_of_the_executor(
    runtime: Path, notebook: Notebook, tmp_path: Path
) -> None:
    def begin(executor: Executor) -> Finished:
        known = executor.run("kept = 5", session=notebook.session)
        executor.submit("print('on', flush=True)\nimport time\ntime.sleep(600)", session=notebook.session)
        wait_until(lambda: executor.session(notebook.session)["state"] == "busy")
        return known

    options = ("--adopt-from", str(runtime))
    with Executor(tmp_path, *options) as executor:
        first = begin(executor)
        assert len(executor.call("DELETE", f"/sessions/{notebook.session}").json["ended_jobs"]) == 1
        # Our code has ended, and the kernel has not.
        assert notebook.run("print(kept)")["shown"] == "5\n"
        begin(executor)
    assert notebook.run("print(kept)")["shown"] == "5\n"
    gate, cell = notebook.gate("killed")
    with Executor(tmp_path, *options) as executor:
        executor.run("kept = 5", session=notebook.session)
        theirs = notebook.send(cell)
        wait_for(gate)
        waiting = executor.submit("kept = 6", session=notebook.session)
        wait_until(lambda: executor.get(f"/jobs/{waiting}")["job"]["queue_position"] == 1)
        executor.process.kill()
        executor.process.wait()
    gate.touch()
    notebook.wait(theirs)
    assert notebook.run("print(kept)")["shown"] == "5\n", "a job that is lost runs later"
    with Executor(tmp_path, *options) as executor:
        begin(executor)
        executor.process.kill()
        executor.process.wait()
    assert psutil.Process(notebook.pid).status() != psutil.STATUS_ZOMBIE
    with Executor(tmp_path, *options) as executor:  # ends the leftovers of the one before, of which this is none
        # The code of the killed one runs on, as the notebook's owner would see.
        os.kill(notebook.pid, signal.SIGINT)
        again = executor.run("print(kept)", session=notebook.session)
        assert (again.stdout, again.job["kernel_id"]) == ("5\n", first.job["kernel_id"])


def test_code_that_ignores_the_interrupt_is_left_to_its_owner(adopter: Executor, notebook: Notebook) -> None:
    gate, cell = notebook.gate("stubborn")
    stubborn = cell.replace("while not", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile not")
    job = adopter.submit(stubborn, session=notebook.session, timeout_sec=1)
    after = adopter.submit("print('after')", session=notebook.session)
    ended = adopter.follow(job)
    assert (ended.state, ended.reason, ended.job["variables_lost"]) == ("timed_out", "timeout", False)
    assert "restart it in Jupyter" in ended.of("error")[-1]["evalue"]
    assert state(adopter, after) == "queued"
    gate.touch()
    assert adopter.follow(after).stdout == "after\n"


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_the_end_of_the_kernel_is_reported_and_a_new_one_is_used(adopter: Executor, runtime: Path, end: str) -> None:
    with Notebook(runtime) as notebook:
        session = notebook.session
        old = adopter.run("x = 1", session=session).job["kernel_id"]
        running = adopter.submit("print('on', flush=True)\nimport time\ntime.sleep(600)", session=session)
        adopter.wait_for_output(running, "on")
        if end == "restart":
            notebook.manager.restart_kernel(now=True, env=notebook.environment)
        else:
            os.kill(notebook.pid, signal.SIGKILL)
        ended = adopter.follow(running)
        assert (ended.state, ended.reason, ended.job["variables_lost"]) == ("failed", "kernel_died", True)
        if end == "kill":
            gone = adopter.run("1", session=session)
            assert "open its notebook in Jupyter" in gone.of("error")[0]["evalue"]
            assert adopter.session(session)["state"] == "dead"
            notebook.manager.restart_kernel(now=True, env=notebook.environment)
        fresh = adopter.run("print('x' in globals())", session=session)
        assert fresh.stdout == "False\n"
        assert fresh.job["kernel_id"] != old
        # One that waits behind a cell of the notebook's when the kernel ends has not run, and does not run later.
        gate, cell = notebook.gate("ending")
        notebook.client.execute(cell)
        wait_for(gate)
        waiting = adopter.submit("print('never')", session=session, kernel_id=fresh.job["kernel_id"])
        wait_until(lambda: adopter.get(f"/jobs/{waiting}")["job"]["queue_position"] == 1)
        wait_until(lambda: adopter.session(session)["state"] == "busy")
        os.kill(notebook.pid, signal.SIGKILL)
        lost = adopter.follow(waiting)
        assert (lost.state, lost.reason, lost.job["variables_lost"]) == ("lost", "kernel_replaced", True)

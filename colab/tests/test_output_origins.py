"""Output of threads, tasks and children belongs to the job that started them, even while another one runs."""

from __future__ import annotations

import sys

import pytest
from harness import Executor, wait_until

# Each starts something that waits for `gate`, prints "late" and then opens the gate `done`.
GATES = "import threading\ngate, done, ready = threading.Event(), threading.Event(), threading.Event()\n"
SPEAK = """
def speak():
    ready.set()
    gate.wait()
    print("late")
    done.set()
"""
WORKERS = {
    "thread": "threading.Thread(target=speak).start()",
    "thread of a thread": "threading.Thread(target=lambda: threading.Thread(target=speak).start()).start()",
    "thread begun after the job": (
        "def later():\n    ready.set()\n    gate.wait()\n    threading.Thread(target=speak).start()\n"
        "threading.Thread(target=later).start()"
    ),
    "timer": "threading.Timer(0, speak).start()",
    "_thread": "import _thread\n_thread.start_new_thread(speak, ())",
    "subclass": "class T(threading.Thread):\n    def run(self): speak()\nT().start()",
    "pool": "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1).submit(speak)",
    "multiprocessing's pool": "from multiprocessing.pool import ThreadPool\nThreadPool(1).apply_async(speak)",
    "logging": (
        "import logging, sys\nlogger = logging.getLogger('mine')\n"
        "logger.addHandler(logging.StreamHandler(sys.stdout))\nlogger.propagate = False\n"
        "def log():\n    ready.set()\n    gate.wait()\n    logger.warning('late')\n    done.set()\n"
        "threading.Thread(target=log).start()"
    ),
    "to_thread": "import asyncio\ntask = asyncio.ensure_future(asyncio.to_thread(speak))\nawait asyncio.sleep(0.01)",
    "display": (
        "def show():\n    ready.set()\n    gate.wait()\n    display('late')\n    done.set()\n"
        "threading.Thread(target=show).start()"
    ),
}


def log_of(executor: Executor, job_id: str) -> str:
    return executor.call("GET", f"/jobs/{job_id}/log").body.decode()


@pytest.mark.parametrize("worker", WORKERS.values(), ids=list(WORKERS))
def test_a_workers_output_during_another_job_belongs_to_its_own_job(
    executor: Executor, session: str, worker: str
) -> None:
    first = executor.run(f"{GATES}{SPEAK}{worker}\nready.wait()\nprint('first')", session=session)
    assert (first.state, first.streams) == ("succeeded", {"stdout": "first\n", "stderr": ""})
    second = executor.run("print('second')\ngate.set()\ndone.wait()\nprint('end')", session=session)
    assert (second.state, second.streams) == ("succeeded", {"stdout": "second\nend\n", "stderr": ""})
    assert not second.of("display_data")
    first_id, second_id = first.job["id"], second.job["id"]
    wait_until(lambda: "late" in log_of(executor, first_id))
    assert log_of(executor, first_id).replace("'", "") == "first\nlate\n"
    assert log_of(executor, second_id) == "second\nend\n"


def test_a_task_prints_for_the_job_that_started_it(executor: Executor, session: str) -> None:
    code = """
import asyncio
gate, done = asyncio.Event(), asyncio.Event()
async def speak():
    await gate.wait()
    print("late")
    done.set()
task = asyncio.ensure_future(speak())
print("first")
"""
    first = executor.run(code, session=session)
    second = executor.run("print('second')\ngate.set()\nawait done.wait()", session=session)
    assert second.stdout == "second\n"
    wait_until(lambda: log_of(executor, first.job["id"]) == "first\nlate\n")


@pytest.mark.parametrize(
    ("pool", "hand_over"),
    [
        ("concurrent.futures.ThreadPoolExecutor(1)", "pool.submit(print, text).result()"),
        ("concurrent.futures.ThreadPoolExecutor(1)", "list(pool.map(print, [text]))"),
        ("multiprocessing.pool.ThreadPool(1)", "pool.apply(print, (text,))"),
        ("multiprocessing.pool.ThreadPool(1)", "pool.map(func=print, iterable=[text])"),
        ("multiprocessing.pool.ThreadPool(1)", "pool.starmap(print, [(text,)])"),
        ("multiprocessing.pool.ThreadPool(1)", "list(pool.imap(print, [text]))"),
    ],
)
def test_work_belongs_to_the_job_that_submitted_it(executor: Executor, session: str, pool: str, hand_over: str) -> None:
    code = f"import concurrent.futures, multiprocessing.pool\npool = {pool}\ntext = 'first'\n{hand_over};"
    assert executor.run(code, session=session).stdout == "first\n"
    for text in ("second", "third"):
        assert executor.run(f"text = {text!r}\n{hand_over};", session=session).stdout == f"{text}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("pool", "hand_over"),
    [
        ("concurrent.futures.ProcessPoolExecutor(2, mp_context=context)", "list(pool.map(say, [text] * 2))"),
        ("context.Pool(2)", "pool.map(say, [text] * 2)"),
        ("context.Pool(2)", "pool.apply(say, (text,)); pool.apply_async(say, (text,)).get()"),
    ],
)
def test_a_process_pool_that_outlives_its_job_prints_for_the_job_that_uses_it(
    executor: Executor, session: str, pool: str, hand_over: str, method: str
) -> None:
    (executor.root / "saying.py").write_text("import sys\ndef say(text):\n    sys.stdout.write(f'{text}\\n')\n")
    code = (
        "import concurrent.futures, multiprocessing, os, sys, warnings\nwarnings.simplefilter('ignore')\n"
        "sys.path.insert(0, '')\nfrom saying import say\n"
        f"context = multiprocessing.get_context({method!r})\npool = {pool}\n"
        f"text = 'first'\n{hand_over};"
    )
    first = executor.run(code, session=session)
    assert (first.state, first.stdout) == ("succeeded", "first\nfirst\n")
    for text in ("second", "third"):
        job = executor.run(f"text = {text!r}\n{hand_over}\nprint('end')\nos.system('echo child');", session=session)
        assert job.stdout == f"{text}\n{text}\nend\nchild\n"
    assert log_of(executor, first.job["id"]) == "first\nfirst\n"


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
@pytest.mark.parametrize(
    ("shown", "log"),
    [
        ("HTML('<style>b {}</style><p><b>late</b> &amp; rich</p>')", "late & rich\n"),
        ("HTML('<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>')", "1 2 \n3\n"),
        ("Markdown('**late**')", "**late**\n"),
        ("HTML('')", "<IPython.core.display.HTML object>\n"),
    ],
)
def test_a_display_after_its_jobs_end_is_text_in_that_jobs_log(
    executor: Executor, session: str, shown: str, log: str
) -> None:
    code = f"""
import threading
from IPython.display import HTML, Markdown
gate = threading.Event()
threading.Thread(target=lambda: gate.wait() and display({shown})).start()
"""
    first = executor.run(code, session=session)
    executor.run("gate.set()", session=session)
    wait_until(lambda: log_of(executor, first.job["id"]) == log)


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
@pytest.mark.parametrize(
    "start",
    [
        "subprocess.Popen(['sh', '-c', 'echo first; cat gate; echo late; echo late >&2'])",
        "os.system('(echo first; cat gate; echo late; echo late >&2) &')",
        "warnings.simplefilter('ignore'); os.fork() or (speak(), os._exit(0))",
        "multiprocessing.get_context('fork').Process(target=speak).start()",
    ],
    ids=["Popen", "os.system", "fork", "multiprocessing"],
)
def test_a_child_that_outlives_its_job_prints_to_that_jobs_log(executor: Executor, session: str, start: str) -> None:
    code = f"""
import multiprocessing, os, subprocess, sys, warnings
def speak():
    print('first', flush=True); open('gate').read(); print('late'); print('late', file=sys.stderr)
if os.path.exists('gate'): os.unlink('gate')
os.mkfifo('gate')
{start};
"""
    first = executor.run(code, session=session)
    assert first.state == "succeeded"
    first_id = first.job["id"]
    wait_until(lambda: log_of(executor, first_id) == "first\n")
    second = executor.run("print('second')\nos.system('echo child')\nopen('gate', 'w').close()", session=session)
    third = executor.run("os.system('echo third');", session=session)
    wait_until(lambda: log_of(executor, first_id) == "first\nlate\nlate\n")
    assert (second.stdout, third.stdout) == ("second\nchild\n", "third\n")
    assert log_of(executor, second.job["id"]) == "second\nchild\n"


BY_A_THREAD = {
    "run": "subprocess.run(['echo', 'late'])",
    "both in one": "subprocess.run('echo late; echo late >&2', shell=True, stderr=subprocess.STDOUT)",
    "sys.stdout": "subprocess.run(['echo', 'late'], stdout=sys.stdout)",
    "to stderr": "subprocess.run(['echo', 'late'], stdout=sys.stderr)",
    "fileno": "subprocess.check_call(['echo', 'late'], stdout=sys.stdout.fileno(), stderr=1)",
    "__stdout__": "subprocess.run(['echo', 'late'], stdout=sys.__stdout__)",
    "os.system": "said.append(os.system('echo late; echo late >&2; exit 3') >> 8)",
    "os.popen": "os.popen('echo late >&2').close()",
    "posix_spawn": "os.waitpid(os.posix_spawn('/bin/sh', ['sh', '-c', 'echo late'], os.environ), 0)",
    "spawnlp": "os.spawnlp(os.P_WAIT, 'echo', 'echo', 'late')",
    "fork": "os.waitpid(os.fork() or (print('late'), os.system('echo late'), sys.stdout.flush(), os._exit(0)), 0)",
    "forked": "start('fork')",
    "spawned": "start('spawn')",
    "command": "get_ipython().system('echo late')",
    "asyncio": "asyncio.run(shell('echo late'))",
    "sys.__stdout__": "print('late', file=sys.__stdout__); sys.__stderr__.write('late\\n'); sys.__stderr__.flush()",
}


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
@pytest.mark.parametrize("start", BY_A_THREAD.values(), ids=list(BY_A_THREAD))
def test_a_child_that_a_thread_starts_during_another_job_prints_to_its_own_jobs_log(
    executor: Executor, session: str, start: str
) -> None:
    (executor.root / "speaking.py").write_text("def speak():\n    print('late')\n")
    code = f"""{GATES}
import asyncio, multiprocessing, os, subprocess, sys, threading, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "")
from speaking import speak
said = []
async def shell(command):
    process = await asyncio.create_subprocess_shell(command)
    await process.wait()
def start(method):
    process = multiprocessing.get_context(method).Process(target=speak)
    process.start()
    process.join()
def work():
    for gate in gates:
        gate.wait()
        {start}
        print("then")
        done.release()
gates, done = [threading.Event(), threading.Event()], threading.Semaphore(0)
threading.Thread(target=work).start()
print("first")
"""
    first = executor.run(code, session=session)
    assert first.state == "succeeded"
    for gate in range(2):
        during = f"print('second')\ngates[{gate}].set()\ndone.acquire()\nos.system('echo child')\nprint('end')"
        second = executor.run(during, session=session)
        assert (second.state, second.stdout) == ("succeeded", "second\nchild\nend\n")
        assert log_of(executor, second.job["id"]) == "second\nchild\nend\n"
    first_id = first.job["id"]
    wait_until(lambda: log_of(executor, first_id).count("then") == 2)
    lines = log_of(executor, first_id).split()
    assert (lines[0], set(lines[1:])) == ("first", {"late", "then"})
    assert lines[1:].count("late") >= 2
    assert executor.run("print(set(said) <= {3})", session=session).stdout == "True\n"


@pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")
@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run(['echo', 'late'], stdout=file)",
        "subprocess.run(['echo', 'late'], stdout=file.fileno(), stderr=subprocess.STDOUT)",
        "file.write(subprocess.run(['echo', 'late'], stdout=subprocess.PIPE).stdout)",
        "file.write(os.popen('echo late').read().encode())",
        "os.waitpid(os.posix_spawn('/bin/echo', ['echo', 'late'], os.environ,"
        " file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)]), 0)",
        "pid, terminal = pty.fork()\n    if pid == 0:\n        os.write(1, b'late'); os._exit(0)\n"
        "    file.write(os.read(terminal, 9)); os.waitpid(pid, 0)",
    ],
    ids=["file", "descriptor", "pipe", "popen", "posix_spawn", "terminal"],
)
def test_streams_that_a_thread_passes_to_its_children_are_kept(executor: Executor, session: str, start: str) -> None:
    code = f"""{GATES}
import os, pty, subprocess, warnings
warnings.simplefilter("ignore")
file = open("taken", "wb", buffering=0)
def work():
    gate.wait()
    {start}
thread = threading.Thread(target=work)
thread.start()
"""
    executor.run(code, session=session)
    second = executor.run("gate.set()\nthread.join()\nprint(open('taken').read().strip())", session=session)
    assert (second.state, second.stdout) == ("succeeded", "late\n")


def test_a_failing_threads_traceback_is_in_one_piece_in_its_own_job(executor: Executor, session: str) -> None:
    code = """
import sys, threading
gate = threading.Event()
def inner(): raise ValueError("mine")
def fail(): gate.wait(); inner()
pieces = []
write = sys.stderr.write
threads = [threading.Thread(target=fail, name=f"worker {i}") for i in range(4)]
for thread in threads: thread.start()
print("first")
"""
    first = executor.run(code, session=session)
    second = executor.run("gate.set()\nfor thread in threads: thread.join()\nprint('second')", session=session)
    assert second.streams == {"stdout": "second\n", "stderr": ""}
    wait_until(lambda: log_of(executor, first.job["id"]).count("ValueError: mine\n") == 4)
    said = log_of(executor, first.job["id"]).removeprefix("first\n")
    for piece in said.split("Exception in thread ")[1:]:
        assert piece.startswith("worker ")
        assert piece.endswith("ValueError: mine\n")
        assert "in inner" in piece
    assert "_smart_colab" not in said


@pytest.mark.parametrize(
    ("failure", "heading"),
    [
        ("threading.Thread(target=fail, name='worker').start()", "Exception in thread worker:\n"),
        ("_thread.start_new_thread(fail, ())", "Exception ignored in thread started by"),
        ("class Broken:\n    def __del__(self): fail()\nBroken(); ran.set()", "Exception ignored"),
    ],
    ids=["thread", "_thread", "__del__"],
)
def test_a_failure_outside_the_cell_is_written_at_once(
    executor: Executor, session: str, failure: str, heading: str
) -> None:
    code = f"""
import _thread, threading, time
ran = threading.Event()
def fail():
    try:
        1 / 0
    finally:
        ran.set()
output = sys.modules["_smart_colab"]._output
writes = []
add = output.journal.add
def note(key, raw):
    writes.append(raw.decode())
    return add(key, raw)
output.journal.add = note
{failure}
ran.wait()
while not writes: time.sleep(0.01)
output.journal.add = add
"""
    job = executor.run("import sys\n" + code, session=session)
    assert job.state == "succeeded"
    said = executor.run("print(writes)", session=session).stdout
    (text,) = eval(said)
    assert text.startswith(heading), text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "_smart_colab" not in text

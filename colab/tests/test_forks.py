"""A process forked by a cell behaves like a script: it sends no messages for the kernel, and ends with its code."""

from __future__ import annotations

import sys

import psutil
import pytest
from harness import Executor, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cannot fork")

# Newer versions of Python warn at a fork that the kernel has threads.
QUIET = "import os, sys, warnings\nwarnings.simplefilter('ignore')\n"
ENDS = {
    "normally": ("print('child')", 0, "child\n", ""),
    "by an expression": ("'not shown by a script'", 0, "", ""),
    "by sys.exit": ("print('child'); sys.exit(7)", 7, "child\n", ""),
    "by sys.exit with text": ("sys.exit('a message')", 1, "", "a message\n"),
    "by an exception": ("fail()", 1, "", "ZeroDivisionError: division by zero\n"),
    "by an interrupt": ("raise KeyboardInterrupt", 130, "", "KeyboardInterrupt\n"),
    "without a line's end": ("print('child', end='')", 0, "child", ""),
    "with C's text": ("import ctypes; ctypes.CDLL(None).printf(b'child')", 0, "child", ""),
    "with a display": ("display('child')", 0, "'child'\n", ""),
    "by exit()": ("exit()", 0, "", ""),
}


def family(executor: Executor, session: str) -> list[psutil.Process]:
    """Return the children of the session's kernel that are not zombies."""
    pid = int(executor.run("import os\nprint(os.getpid())", session=session).stdout)
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(("end", "code", "out", "err"), ENDS.values(), ids=list(ENDS))
def test_a_forked_child_ends_like_a_script(
    executor: Executor, session: str, end: str, code: int, out: str, err: str
) -> None:
    body = f"""{QUIET}
def fail(): 1 / 0
child = os.fork()
if child:
    print("parent", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    {end}
7 if child else fail
"""
    job = executor.run(body, session=session)
    assert job.state == "succeeded"
    assert job.stdout == f"{out}parent {code}\n"
    assert job.streams["stderr"].endswith(err)
    assert [event["data"]["text/plain"] for event in job.of("execute_result")] == ["7"]
    if err and "Error" in err:
        assert job.streams["stderr"].startswith("Traceback (most recent call last):\n")
        assert "IPython" not in job.streams["stderr"]
    assert executor.run("print('next')", session=session).stdout == "next\n"
    assert not family(executor, session)


def test_the_parent_need_not_wait_for_its_child(executor: Executor, session: str) -> None:
    job = executor.run(f"{QUIET}if os.fork() == 0: print('child')\nelse: print('parent')", session=session)
    assert job.state == "succeeded"
    wait_until(lambda: not family(executor, session))
    log = executor.call("GET", f"/jobs/{job.job['id']}/log").body.decode()
    assert sorted(log.split()) == ["child", "parent"]


@pytest.mark.fresh_kernel
def test_a_child_leaves_no_zombie_and_can_still_be_waited_for(executor: Executor, session: str) -> None:
    fork = f"{QUIET}child = os.fork()\nif child == 0: sys.exit(3)\nos.getpid()"
    for wait in ("os.waitpid(child, 0)", "os.waitpid(child, os.WNOHANG)", "os.wait()", "os.waitpid(-1, 0)"):
        job = executor.run(fork, session=session)
        kernel = psutil.Process(int(job.of("execute_result")[0]["data"]["text/plain"]))
        wait_until(lambda kernel=kernel: not kernel.children())
        job = executor.run(f"ended = {wait}\nprint(ended == (child, 3 << 8))", session=session)
        assert job.stdout == "True\n"
        job = executor.run(f"try: {wait}\nexcept ChildProcessError: print('none')", session=session)
        assert job.stdout == "none\n"


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "1 / 0"])
def test_forks_in_loops_and_threads_end_too(executor: Executor, session: str, end: str) -> None:
    loop = {"start": 0, "stop": 3, "total": 3, "on_error": "stop"}
    body = f"""{QUIET}
child = os.fork()
if child == 0:
    {end}
    os._exit(0)
os.waitpid(child, 0)
print('parent', i)
"""
    job = executor.run(body, session=session, loop=loop)
    assert (job.state, job.stdout) == ("succeeded", "parent 0\nparent 1\nparent 2\n")
    assert len(job.of("progress")) == 3
    threads = f"""{QUIET}
import threading
def work(k):
    child = os.fork()
    if child == 0:
        print('child', k)
        {end}
        return
    os.waitpid(child, 0)
threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print('parent')
"""
    job = executor.run(threads, session=session)
    assert job.state == "succeeded"
    assert sorted(job.stdout.splitlines()) == ["child 0", "child 1", "child 2", "parent"]
    assert not family(executor, session)


def test_only_the_parent_reports_a_loop_that_a_child_continues(executor: Executor, session: str) -> None:
    loop = {"start": 0, "stop": 3, "total": 3, "on_error": "stop"}
    body = QUIET + "if i == 0: os.fork()\nos.write(1, b'%d\\n' % i)"
    job = executor.run(body, session=session, loop=loop)
    assert (job.state, len(job.of("progress"))) == ("succeeded", 3)
    wait_until(lambda: not family(executor, session))
    log = executor.call("GET", f"/jobs/{job.job['id']}/log").body.decode()
    assert sorted(log.split()) == ["0", "1", "1", "2", "2"] or sorted(log.split()) == ["0", "0", "1", "1", "2", "2"]


def test_a_child_does_not_continue_in_the_kernels_event_loop(executor: Executor, session: str) -> None:
    body = """
import asyncio, os
child = os.fork()
await asyncio.sleep(0.01)
print('parent', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    job = executor.run(body, session=session)
    assert (job.state, job.stdout) == ("succeeded", "parent 1\n")
    assert "event loop" in job.streams["stderr"]
    assert executor.run("await asyncio.sleep(0)\nprint('next')", session=session).stdout == "next\n"
    assert not family(executor, session)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_processes_print_and_fail_as_usual(executor: Executor, session: str, method: str) -> None:
    (executor.root / "workers.py").write_text(
        "import sys\ndef work(k):\n    sys.stdout.write(f'child {k}\\n')\n    if k == 2: raise ValueError('mine')\n"
    )
    body = f"""
import multiprocessing, sys
sys.path.insert(0, '')
from workers import work
processes = [multiprocessing.get_context({method!r}).Process(target=work, args=(k,)) for k in range(3)]
for process in processes: process.start()
for process in processes: process.join()
print([process.exitcode for process in processes])
"""
    job = executor.run(body, session=session)
    lines = job.stdout.splitlines()
    assert (sorted(lines[:-1]), lines[-1]) == (["child 0", "child 1", "child 2"], "[0, 0, 1]")
    assert job.streams["stderr"].endswith("ValueError: mine\n")
    assert "Process" in job.streams["stderr"]


@pytest.mark.parametrize(
    "work",
    [
        "threading.Thread(target=print, args=('in a thread',)).start(); time.sleep(0.2)",
        "t = threading.Thread(target=int); t.start(); t.join()",
        "t = threading.Timer(0.01, int); t.start(); t.join()",
        "_thread.start_new_thread(int, ()); time.sleep(0.2)",
        "with concurrent.futures.ThreadPoolExecutor(2) as pool: list(pool.map(abs, range(4)))",
        "q.put(1); q.close(); q.join_thread()",
    ],
)
@pytest.mark.parametrize(
    "start",
    [
        "p = multiprocessing.get_context('fork').Process(target=work); p.start(); p.join(); print(p.exitcode)",
        "p = os.fork()\nif p == 0: work()\nprint(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))",
        "def fork():\n    p = os.fork()\n    if p == 0: work()\n    ended.append(os.waitpid(p, 0)[1] >> 8)\n"
        "ended = []\nt = threading.Thread(target=fork); t.start(); t.join(); print(*ended)",
    ],
    ids=["by multiprocessing", "by os.fork", "by os.fork in a thread"],
)
def test_a_thread_ending_in_a_child_ends_nothing_else(executor: Executor, session: str, work: str, start: str) -> None:
    body = f"""{QUIET}
import _thread, concurrent.futures, multiprocessing, threading, time
q = multiprocessing.get_context('fork').Queue()
def work():
    {work}
    print('after the thread', flush=True)
    os._exit(4)
{start}
"""
    job = executor.run(body, session=session)
    lines = [line for line in job.stdout.splitlines() if line != "in a thread"]
    assert (job.state, lines) == ("succeeded", ["after the thread", "4"])


def test_process_pools_may_use_threads(executor: Executor, session: str) -> None:
    body = f"""{QUIET}
import concurrent.futures, multiprocessing
context = multiprocessing.get_context('fork')
def work(n):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return sum(pool.map(abs, range(n)))
with context.Pool(2) as pool:
    print(pool.map_async(work, [3, 4, 5]).get(timeout=60))
with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
    print(list(pool.map(work, [3, 4, 5])))
def put(q):
    q.put(1)
    sys.exit(4)
q = context.Queue()
process = context.Process(target=put, args=(q,))
process.start(); process.join(); print(process.exitcode, q.get())
"""
    job = executor.run(body, session=session)
    assert (job.state, job.stdout) == ("succeeded", "[3, 6, 10]\n[3, 6, 10]\n4 1\n")


@pytest.mark.fresh_kernel
def test_sleeping_children_end_with_the_session(executor: Executor, session: str) -> None:
    body = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\nos.getpid()"
    pid = int(executor.run(body, session=session).of("execute_result")[0]["data"]["text/plain"])
    (child,) = psutil.Process(pid).children()
    executor.call("DELETE", f"/sessions/{session}")
    wait_until(lambda: not child.is_running())
    # Also if the kernel dies by itself.
    pid = int(executor.run(body, session=session).of("execute_result")[0]["data"]["text/plain"])
    (child,) = psutil.Process(pid).children()
    assert executor.run("os.kill(os.getpid(), 9)", session=session).reason == "kernel_died"
    wait_until(lambda: not child.is_running())

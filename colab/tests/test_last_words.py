"""What a kernel printed comes, all of it and once, however suddenly the kernel ends."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest
from harness import Executor, wait_until

DEATHS = {
    "SIGKILL": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "_exit in C": "import ctypes\nctypes.CDLL(None)._exit(3)",
    "os._exit": "import os\nos._exit(3)",
}
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="has no such deaths")
FLOOD = "for i in range(40):\n    print(chr(65 + i % 26) * 1_000_000)\n"


@pytest.fixture
def session(executor: Executor) -> Iterator[str]:
    """A session of the test's own."""
    name = f"w-{uuid.uuid4().hex[:8]}"
    yield name
    executor.call("DELETE", f"/sessions/{name}")


@needs_posix
@pytest.mark.parametrize("death", DEATHS.values(), ids=list(DEATHS))
def test_the_last_words_come_on_the_streams_that_they_were_printed_to(
    executor: Executor, session: str, death: str
) -> None:
    body = "import sys\nfor i in range(200):\n    print(i, 'äü€😀')\n    print(i, file=sys.stderr)\n"
    spoken = {
        "stdout": "".join(f"{i} äü€😀\n" for i in range(200)),
        "stderr": "".join(f"{i}\n" for i in range(200)),
    }
    for _ in range(5):
        job = executor.run(body + death, session=session)
        assert (job.streams, job.reason) == (spoken, "kernel_died")
        # The log has them too.
        assert executor.call("GET", f"/jobs/{job.job['id']}/log").body.count(b"199") == 2


@needs_posix
def test_the_last_words_of_a_thread_come(executor: Executor, session: str) -> None:
    body = """
import os, signal, threading
def work():
    for i in range(1000):
        print(f'{i}\\n', end='')
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = executor.run(body, session=session).stdout
    assert sorted(said.split()) == sorted(str(i) for i in range(1000) for _ in range(4))


@needs_posix
@pytest.mark.parametrize(
    ("flood", "spoken"),
    [
        ("for i in range(1_000_000):\n    print(i)\n", "".join(f"{i}\n" for i in range(1_000_000))),
        (FLOOD, "".join(chr(65 + i % 26) * 1_000_000 + "\n" for i in range(40))),
    ],
    ids=["a million lines", "40 MB in lumps"],
)
def test_a_flood_comes_whole_before_a_death(executor: Executor, session: str, flood: str, spoken: str) -> None:
    assert executor.run(flood + DEATHS["SIGKILL"], session=session).stdout == spoken


@needs_posix
def test_what_a_kernel_printed_before_it_was_killed_on_purpose_comes(executor: Executor, session: str) -> None:
    # Nothing is sent while `sum` holds the interpreter.
    body = "print('begun')\nsum(range(10**12))"
    assert executor.run(body, session=session, timeout_sec=1).stdout == "begun\n"
    job_id = executor.submit("open('here', 'w').close()\n" + body, session=session)
    wait_until((executor.root / "here").exists)
    executor.post(f"/sessions/{session}/restart")
    job = executor.follow(job_id)
    assert (job.stdout, job.reason) == ("begun\n", "session_restarted")


@needs_posix
def test_what_a_thread_says_last_after_its_job_is_in_the_log(executor: Executor, session: str) -> None:
    body = """
import os, signal, threading
def work():
    gate.wait()
    print('from the grave')
    os.kill(os.getpid(), signal.SIGKILL)
gate = threading.Event()
thread = threading.Thread(target=work)
thread.start()
print('done')
"""
    first = executor.run(body, session=session)
    executor.run("gate.set()\nthread.join()", session=session)
    log = executor.call("GET", f"/jobs/{first.job['id']}/log").body
    later = executor.get("/jobs?limit=1")["jobs"][0]["id"]
    log += executor.call("GET", f"/jobs/{later}/log").body
    # Older ipykernels say that a thread's words are those of the cell that runs.
    assert log == b"done\nfrom the grave\n"


@needs_posix
def test_an_exception_in_the_middle_of_a_print_costs_no_other_words(executor: Executor, session: str) -> None:
    body = """
import os, signal, sys
class Tick(Exception): pass
def tick(*_):
    sys.stderr.write('tick')
    raise Tick
signal.signal(signal.SIGALRM, tick)
done, i = [], 0
while True:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        while i < 20_000:
            i += 1
            sys.stdout.write(f'{i}\\n')
            done.append(i)
        signal.setitimer(signal.ITIMER_REAL, 0)
        break
    except Tick:
        pass
with open('done', 'w') as file:
    file.write(' '.join(map(str, done)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    job = executor.run(body, session=session)
    assert job.reason == "kernel_died"
    said = job.stdout.split()
    assert set(said) >= set((executor.root / "done").read_text().split())
    assert said == sorted(set(said), key=int)


@pytest.mark.skipif(sys.platform == "win32", reason="cannot fork")
def test_a_forked_process_says_its_own_words_once(executor: Executor, session: str) -> None:
    body = """
import os, sys
print('before')
child = os.fork()
if child == 0:
    print('in the child\\n', end='')
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print('after')
"""
    job = executor.run(body, session=session)
    assert sorted(job.stdout.split("\n")) == ["", "after", "before", "in the child"]
    # The child's words go through its parent, and may be on their way when that is killed.
    killed = executor.run(body + DEATHS["SIGKILL"], session=session)
    said = killed.stdout.replace("in the child\n", "", 1)
    assert said == "before\nafter\n"


@pytest.mark.skipif(sys.platform == "win32", reason="cannot fork")
def test_print_works_in_a_forked_process_with_threads(executor: Executor, session: str) -> None:
    body = """
import os, sys
child = os.fork()
if child == 0:
    sys.stdout._subprocess_flush_pending = True  # as another thread leaves it
    status = 1
    try:
        print('in the child')
        status = 0 if sys.stdout.write('\\ud800\\n') == 2 else 2
        sys.stdout.flush()
    finally:
        os._exit(status)
print(os.waitpid(child, 0)[1])
"""
    job = executor.run(body, session=session)
    assert sorted(job.stdout.split("\n")) == ["", "0", "?", "in the child"]


@needs_posix
def test_a_process_that_c_forked_writes_over_no_last_words(executor: Executor, session: str) -> None:
    body = """
import ctypes, os, signal, sys
ours, theirs = os.pipe()
print('before')
child = ctypes.PyDLL(None).fork()
if child == 0:
    os.read(ours, 1)
    for i in range(100):
        print('in the child')
    os._exit(0)
print('after')
os.write(theirs, b'1')
os.waitpid(child, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = executor.run(body, session=session).stdout.split("\n")
    assert [line for line in said if line != "in the child"] == ["before", "after", ""]


def test_what_is_printed_while_output_is_sent_costs_no_other_words(executor: Executor, session: str) -> None:
    # As a `__del__` does in the thread that sends, when it collects the garbage.
    body = """
import sys
output = sys.modules['_smart_colab']._output
send = output._send
def send_noisily(socket, message, *rest, **more):
    if message == 'stream':
        output._send = send
        for _ in range(10):
            sys.stdout.write('x' * 60_000)
        sys.stdout.flush()
    return send(socket, message, *rest, **more)
output._send = send_noisily
print('outer')
sys.stdout.flush()
"""
    assert executor.run(body, session=session).stdout == "outer\n" + 600_000 * "x"


def test_what_is_shown_comes_behind_the_text_that_is_just_being_sent(executor: Executor, session: str) -> None:
    body = """
import sys, threading, time
from IPython.display import clear_output
output, streams = sys.modules['_smart_colab']._output, (sys.stdout, sys.stderr)
send, begun = output._send, threading.Event()
class Tee:  # which has ipykernel wait for nothing
    def write(self, text): return streams[0].write(text)
    def flush(self): pass
def send_slowly(socket, message, *rest, **more):
    if message == 'stream':
        begun.set()
        time.sleep(0.5)
    return send(socket, message, *rest, **more)
output._send, sys.stdout, sys.stderr = send_slowly, Tee(), Tee()
sys.stdout.write('one')
begun.wait()
clear_output()
output._send, sys.stdout, sys.stderr = send, *streams
"""
    job = executor.run(body, session=session)
    assert [event["type"] for event in job.events[1:-1]] == ["stream", "clear_output"]


def test_a_stream_that_code_puts_before_ours_writes_to_the_cell_that_runs(executor: Executor, session: str) -> None:
    tee = """
import sys
class Tee:
    def __init__(self, stream): self.stream = stream
    def write(self, text): return self.stream.write(text)
    def flush(self): pass
sys.stdout = Tee(sys.stdout)
print('first')
"""
    assert executor.run(tee, session=session).stdout == "first\n"
    second = executor.run("print('second')\nfrom IPython.display import display\ndisplay(2)", session=session)
    assert second.stdout == "second\n"
    kinds = [event["type"] for event in second.events]
    assert kinds.index("stream") < kinds.index("display_data")


def test_ordinary_output_is_not_doubled(executor: Executor, session: str) -> None:
    body = (
        "import sys\nfor i in range(20_000):\n    print(i)\n    if i % 100 == 0:\n        print(i, file=sys.stderr)\n"
    )
    for _ in range(3):
        said = executor.run(body, session=session).streams
        assert said["stdout"] == "".join(f"{i}\n" for i in range(20_000))
        assert said["stderr"] == "".join(f"{i}\n" for i in range(0, 20_000, 100))


def test_a_line_after_a_quiet_time_comes_while_the_code_goes_on(executor: Executor, session: str) -> None:
    body = """
import os, sys, time
sys.modules['_smart_colab.kernel_output'].LONG_FLUSH_PAUSE_SEC = 3600  # which is for floods alone
for i in range(3):
    print(f'line {i}')
    while not os.path.exists(f'heard {i}'):
        time.sleep(0.01)
"""
    job_id = executor.submit(body, session=session)
    for i in range(3):
        executor.wait_for_output(job_id, f"line {i}")
        (executor.root / f"heard {i}").touch()
    assert executor.follow(job_id).state == "succeeded"


def test_streams_in_turn_make_no_long_row_of_what_waits(executor: Executor, session: str) -> None:
    body = """
import sys
journal = sys.modules['_smart_colab']._output._journal
longest = 0
for i in range(50_000):
    sys.stdout.write('x')
    sys.stderr.write('y' if i % 2 else '')
    longest = max(longest, len(journal._pieces))
"""
    assert executor.run(body, session=session).streams == {"stdout": 50_000 * "x", "stderr": 25_000 * "y"}
    assert executor.run("print(longest < 20_000)", session=session).stdout == "True\n"


def test_without_a_journal_a_kernel_works_as_ever(executor: Executor, session: str) -> None:
    body = "import sys\noutput, journal = (sys.modules[f'_smart_colab{name}'] for name in ('', '.journal'))\n"
    executor.run(body + "output._output._journal = journal.Journal(None)", session=session)
    assert executor.run(FLOOD, session=session).stdout.count("\n") == 40
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_an_executor_that_does_not_say_what_it_heard_holds_no_kernel_up(executor: Executor, session: str) -> None:
    deaf = """
import shutil
import sys
output = sys.modules['_smart_colab']._output
hear = type(output._journal).heard
type(output._journal).heard = lambda journal: 0
sys.modules['_smart_colab.kernel_output'].HEARING_TIMEOUT_SEC = 0.2
"""
    executor.run(deaf, session=session)
    assert executor.run(FLOOD, session=session).stdout.count("\n") == 40
    # When it says so again it is waited for again.
    assert executor.run("print(output._is_paced)", session=session).stdout == "False\n"
    executor.run("type(output._journal).heard = hear", session=session)
    assert executor.run(FLOOD, session=session).stdout.count("\n") == 40
    assert executor.run("print(output._is_paced)", session=session).stdout == "True\n"


def test_a_disk_that_takes_no_journal_keeps_no_kernel_from_starting(start: Callable[..., Executor]) -> None:
    running = start()
    folder = running.root / ".smart_colab" / "kernels"
    wait_until(lambda: running.session()["state"] == "idle")
    running.call("DELETE", "/sessions/main")
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert running.run("print(1)").stdout == "1\n"
    assert "has no journal" in running.log.read_text()


def test_only_the_last_message_of_several_says_that_all_is_told_up_to_it(executor: Executor, session: str) -> None:
    job = executor.run(
        """
import sys
output = sys.modules["_smart_colab"]._output
told, send = [], output._send
def note(*message, metadata, **options):
    told.append((metadata["smart_colab_position"], metadata["smart_colab_complete"]))
    return send(*message, metadata=metadata, **options)
output.flush()
with output._send_lock:
    output._send = note
    print("one")
    print("two", file=sys.stderr)
    print("three")
output.flush()
output._send = send
first, last = told
assert first[1] < min(first[0], last[0]), told
assert last[1] == max(first[0], last[0]), told
""",
        session=session,
    )
    assert (job.state, job.streams) == ("succeeded", {"stdout": "one\nthree\n", "stderr": "two\n"})

"""Output of children and C code on the file descriptors arrives whole and in order, even at a sudden end."""

from __future__ import annotations

import sys

import pytest
from harness import Executor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ipykernel's own way is kept there")

TEXT = "aé€😀日本語\n"
C = "import ctypes, os, subprocess, sys\nC = ctypes.CDLL(None)\n"
DEATHS = {
    "SIGKILL": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "os._exit": "import os\nos._exit(3)",
}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("subprocess.run([sys.executable, '-X', 'utf8', '-c', 'print(\"日本語\" * 20000)'])", "日本語" * 20000 + "\n"),
        ("os.system('for i in 1 2 3 4 5; do yes äü€😀 | head -5000; done')", "äü€😀\n" * 25_000),
        ("for byte in os.environb[b'TEXT'] * 50: os.write(1, bytes([byte]))", TEXT * 50),
        ("for byte in os.environb[b'TEXT'] * 50: C.write(1, bytes([byte]), 1)", TEXT * 50),
        ("for i in range(2000): C.puts(os.environb[b'TEXT'].strip())", TEXT * 2000),
        ("os.write(1, b'a\\xff\\xe2\\x82b\\n')", "a\ufffd\ufffdb\n"),
    ],
    ids=["child", "os.system", "os.write by bytes", "C by bytes", "C puts", "no UTF-8"],
)
def test_text_outside_ascii_is_decoded_as_one_stream(executor: Executor, code: str, text: str) -> None:
    job = executor.run(f"{C}os.environ['TEXT'] = {TEXT!r}\n{code};")
    assert job.state == "succeeded"
    assert job.stdout == text


def test_each_stream_is_decoded_separately(executor: Executor) -> None:
    code = f"{C}for byte in '日本'.encode():\n    os.write(1, bytes([byte]))\n    os.write(2, bytes([byte]))"
    assert executor.run(code).streams == {"stdout": "日本", "stderr": "日本"}


def test_output_of_python_children_and_c_is_ordered(executor: Executor) -> None:
    code = f"""{C}
for i in range(200):
    print(i, "python")
    C.puts(b"c")
    print(i, "again")
    if i % 50 == 0:
        os.system("echo child")
        print("after")
        subprocess.run(["echo", "run"])
    os.write(1, b"raw\\n")
    sys.stdout.write("end\\n")
"""
    expected = "".join(
        f"{i} python\nc\n{i} again\n" + ("child\nafter\nrun\n" if i % 50 == 0 else "") + "raw\nend\n"
        for i in range(200)
    )
    assert executor.run(code).stdout == expected


def test_a_display_follows_earlier_native_output(executor: Executor) -> None:
    code = f"{C}for i in range(5):\n    os.system(f'echo {{i}}')\n    display(i)\nC.printf(b'last')\n42"
    shown = [
        event["text"] if event["type"] == "stream" else event["data"]["text/plain"]
        for event in executor.run(code).events
        if "data" in event or event["type"] == "stream"
    ]
    assert "".join(shown) == "0\n01\n12\n23\n34\n4last42"


def test_a_loops_report_follows_its_iterations_output(executor: Executor) -> None:
    loop = {"start": 0, "stop": 20, "total": 20, "on_error": "stop"}
    job = executor.run("import os\nos.system(f'echo {i}');", loop=loop)
    order = [event.get("text", event["type"]) for event in job.events[1:-1]]
    assert order == ["batch", *(item for i in range(20) for item in (f"{i}\n", "progress"))]


@pytest.mark.parametrize("code", ["stdout=sys.stdout, stderr=subprocess.STDOUT", "stdout=1, stderr=1", ""])
def test_a_child_can_be_given_our_streams(executor: Executor, code: str) -> None:
    child = 'for i in range(3): print(i)\nraise SystemExit("bad")'
    job = executor.run(f"{C}subprocess.check_call([sys.executable, '-c', {child!r}], {code})")
    assert (job.state, job.streams["stdout"] + job.streams["stderr"]) == ("failed", "0\n1\n2\nbad\n")
    assert job.streams["stderr"] == ("" if code else "bad\n")


def test_bytes_written_to_fileno_are_kept(executor: Executor) -> None:
    code = f"""{C}
import faulthandler
assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
os.write(sys.stdout.fileno(), b"out\\n")
os.write(sys.stderr.fileno(), b"err\\n")
subprocess.run(["echo", "to stderr"], stdout=sys.stderr)
os.fdopen(sys.stdout.fileno(), "w", closefd=False).write("by a file\\n")
print("dunder", file=sys.__stdout__)
faulthandler.dump_traceback(all_threads=False)
"""
    streams = executor.run(code).streams
    assert streams["stdout"] == "out\nby a file\ndunder\n"
    assert streams["stderr"].startswith("err\nto stderr\n")
    assert "(most recent call first):\n" in streams["stderr"]


def test_a_redirected_descriptor_mutes_all_output_until_restored(executor: Executor, session: str) -> None:
    mute = f"""{C}
print("heard")
saved = os.dup(1)
nothing = os.open(os.devnull, os.O_WRONLY)
os.dup2(nothing, sys.stdout.fileno())
print("muted"); C.puts(b"muted"); os.system("echo muted")
print("not muted", file=sys.stderr)
"""
    first = executor.run(mute, session=session)
    assert first.streams == {"stdout": "heard\n", "stderr": "not muted\n"}
    assert executor.run("print('still'); os.system('echo still');", session=session).stdout == ""
    back = executor.run(
        "os.dup2(saved, 1); os.close(saved); os.close(nothing)\n"
        "print('one'); os.system('echo two'); C.puts(b'three'); print('four')",
        session=session,
    )
    assert back.stdout == "one\ntwo\nthree\nfour\n"
    assert executor.run("os.system('echo next');", session=session).stdout == "next\n"


def test_a_descriptor_can_be_redirected_to_a_file_or_the_other_stream(executor: Executor, session: str) -> None:
    code = f"""{C}
saved = os.dup(1)
with open("captured", "w+b") as file:
    os.dup2(file.fileno(), 1)
    print("python"); C.puts(b"c"); os.system("echo child"); C.fflush(None)
    os.dup2(saved, 1)
    file.seek(0)
    captured = file.read()
print(captured)
saved_err = os.dup(2)
os.dup2(1, 2)
print("error", file=sys.stderr); os.system("echo child >&2")
"""
    job = executor.run(code, session=session)
    assert job.streams == {"stdout": "b'python\\nc\\nchild\\n'\nerror\nchild\n", "stderr": ""}
    # Also in the next cell, which has other pipes.
    again = executor.run(
        "os.system('echo more >&2')\nos.dup2(saved_err, 2)\nos.system('echo apart >&2');", session=session
    )
    assert again.streams == {"stdout": "more\n", "stderr": "apart\n"}


def test_a_thread_that_reads_a_descriptors_pipe_can_print_what_it_reads(executor: Executor, session: str) -> None:
    # Like wurlitzer.
    code = f"""{C}
import threading
saved, (ours, theirs) = os.dup(1), os.pipe()
os.dup2(theirs, 1)
os.close(theirs)
def forward():
    while data := os.read(ours, 1000):
        sys.stdout.write(data.decode().upper())
thread = threading.Thread(target=forward)
thread.start()
C.puts(b"c")
print("python")
os.dup2(saved, 1)
thread.join()
print("end")
"""
    assert executor.run(code, session=session).stdout == "C\nPYTHON\nend\n"


def test_a_kernel_without_free_descriptors_still_runs_cells(executor: Executor, session: str) -> None:
    use_up = """
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/dev/fd'))) + 8, hard))
taken = []
try:
    while True: taken.append(os.dup(0))
except OSError:
    # Enough for one pipe, and for the files of ipykernel and zmq.
    for _ in range(3): os.close(taken.pop())
    print('full')
"""
    assert executor.run(use_up, session=session).stdout == "full\n"
    assert executor.run("print('on')", session=session).stdout == "on\n"
    free = "for fd in taken: os.close(fd)\nos.write(1, b'free\\n');"
    assert executor.run(free, session=session).state == "succeeded"
    assert executor.run("os.system('echo child');", session=session).stdout == "child\n"


@pytest.mark.parametrize("death", DEATHS.values(), ids=list(DEATHS))
def test_last_output_of_c_code_and_children_arrives(executor: Executor, session: str, death: str) -> None:
    code = f"""{C}
print("python")
C.puts("ä last of C".encode())
subprocess.run(["echo", "last of a child"])
os.write(2, "last ü of all\\n".encode())
{death}
"""
    for _ in range(3):
        job = executor.run(code, session=session)
        assert job.reason == "kernel_died"
        assert job.streams["stdout"] == "python\nä last of C\nlast of a child\n"
        assert job.streams["stderr"].startswith("last ü of all\n")


@pytest.mark.parametrize("death", [DEATHS["segfault"], DEATHS["abort"], "import ctypes\nctypes.CDLL(None).abort()"])
def test_output_of_a_fatal_signals_handler_arrives(executor: Executor, session: str, death: str) -> None:
    for enable in ("faulthandler.enable()", "faulthandler.enable(file=sys.stderr)"):
        job = executor.run(f"import faulthandler, sys\n{enable}\n{death}", session=session)
        assert job.reason == "kernel_died"
        assert job.streams["stderr"].startswith("Fatal Python error: ")
        assert "most recent call first" in job.streams["stderr"]


def test_a_full_pipe_at_a_death_arrives_whole(executor: Executor, session: str) -> None:
    # Written while holding the GIL, so that the kernel reads none of it.
    code = """
import ctypes, os, signal
C = ctypes.PyDLL(None)
for i in range(6000):
    C.write(1, b"123456789\\n", 10)
C.write(2, b"end\\n", 4)
C.kill(os.getpid(), signal.SIGKILL)
"""
    job = executor.run(code, session=session)
    assert job.streams == {"stdout": "123456789\n" * 6000, "stderr": "end\n"}


def test_a_childs_flood_arrives_whole(executor: Executor) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'for i in range(400_000): print(i)']);"
    assert executor.run(code).stdout == "".join(f"{i}\n" for i in range(400_000))


def test_cells_leak_no_descriptors(executor: Executor, session: str) -> None:
    count = "import os\nprint(len(os.listdir('/dev/fd')))"
    before = executor.run(count, session=session).stdout
    for _ in range(20):
        executor.run("os.system('echo');", session=session)
    assert int(executor.run(count, session=session).stdout) <= int(before) + 4

"""Code that would wait for a person continues at once, or gets an explanation."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator

import psutil
import pytest
from harness import Executor, wait_until

needs_terminals = pytest.mark.skipif(os.name == "nt", reason="has no pseudo-terminals")
PYTHON = f"{sys.executable} -c"
# Like pagers and editors; then like a curses program that reads its standard error.
WAITS_FOR_KEYS = """
import os, sys, termios, time, tty
terminal = os.open(os.ttyname(2), os.O_RDWR | os.O_NOCTTY) if sys.argv[1] == "opens" else 2
tty.setcbreak(terminal)
print(os.getpid(), "first page", flush=True)
while sys.argv[1] != "opens":
    time.sleep(0.1)
os.read(terminal, 1)
"""


@pytest.fixture(scope="module")
def session(executor: Executor) -> Iterator[str]:
    """Name a session for these tests."""
    yield "questions"
    executor.call("DELETE", "/sessions/questions")


def is_there(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@needs_terminals
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("!exit 3", "[`exit 3` ended with exit status 3]\n"),
        ("!true", ""),
        ("!nosuchprogram 2> /dev/null", "[`nosuchprogram 2> /dev/null` ended with exit status 127]\n"),
        ("!kill -9 $$", "[`kill -9 $$` was ended by SIGKILL]\n"),
        ("token = 'secret'\n!test $token = {token}x", "[`test $token = {token}x` ended with exit status 1]\n"),
        ("!false\n!true\n!exit 4", "[`false` ended with exit status 1]\n[`exit 4` ended with exit status 4]\n"),
        (f"!false {'x' * 100}", f"[`false {'x' * 54}…` ended with exit status 1]\n"),
        (f"!{PYTHON} 'raise SystemExit(2)'", "[`python -c 'raise SystemExit(2)'` ended with exit status 2]\n"),
        ("for k in range(2):\n    !exit {k}", "[`exit {k}` ended with exit status 1]\n"),
    ],
)
def test_a_failed_command_reports_how_it_ended(executor: Executor, session: str, code: str, said: str) -> None:
    job = executor.run(code, session=session)
    assert (job.state, job.streams) == ("succeeded", {"stdout": "", "stderr": said})


@needs_terminals
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("!read answer; echo got [$answer]", "got []\n"),
        ("!printf 'sure? '; read answer; echo $?", "sure? 1\n"),
        ("!touch kept; rm -i kept; test -e kept && echo kept", "kept\n"),
        (f"!{PYTHON} 'input()' 2>&1 | tail -n 1", "EOFError: EOF when reading a line\n"),
        (f"!{PYTHON} 'import getpass; getpass.getpass()' 2>&1 | tail -n 1", "EOFError\n"),
        ("!read answer < /dev/tty || echo none", "none\n"),
        ("!cat; cat <&1 || true; cat <&2 || true; echo end", "end\n"),
        ("lines = get_ipython().getoutput('cat')\nprint('got', lines)", "got []\n"),
        ("!!read answer; echo got [$answer]", None),
        ("%sx read answer; echo got [$answer]", None),
        ("%%bash\nread answer < /dev/tty 2> /dev/null\necho got [$answer]", "got []\n"),
        ("import os\nos.system('read answer; echo got [$answer]')", "got []\n"),
        ("import subprocess\nsubprocess.run('read answer; echo got [$answer]', shell=True)", "got []\n"),
    ],
)
def test_a_command_that_asks_reads_end_of_file(executor: Executor, session: str, code: str, shown: str | None) -> None:
    job = executor.run(code, session=session, timeout_sec=30)
    assert job.state == "succeeded"
    if shown is None:
        assert "got []" in job.of("execute_result")[0]["data"]["text/plain"]
    else:
        assert re.sub(r"\x1b\[[0-9;]*m", "", job.stdout).endswith(shown)


@needs_terminals
@pytest.mark.parametrize("how", ["opens", "paints"])
@pytest.mark.parametrize("line", ["{}", "{} | cat", "sh -c '{}; true'; echo on"])
def test_a_command_that_waits_for_keys_is_ended_with_a_note(
    executor: Executor, session: str, how: str, line: str
) -> None:
    (executor.root / "waits_for_keys.py").write_text(WAITS_FOR_KEYS)
    command = line.format(f"{sys.executable} waits_for_keys.py {how}")
    job = executor.run(f"!{command}\nprint('after', _exit_code)", session=session, timeout_sec=60)
    assert job.state == "succeeded"
    pid, rest = job.stdout.split(maxsplit=1)
    assert rest == "first page\nafter -15\n"
    assert "single-key input" in job.streams["stderr"]
    wait_until(lambda: not is_there(int(pid)))
    assert executor.run("!echo next", session=session).stdout == "next\n"


@needs_terminals
@pytest.mark.parametrize("pager", ["less", "more"])
def test_a_pager_prints_the_whole_file(executor: Executor, session: str, pager: str) -> None:
    if shutil.which(pager) is None:
        pytest.skip(f"has no {pager}")
    (executor.root / "long.txt").write_text("".join(f"line {k}\n" for k in range(500)))
    job = executor.run(f"def show(name):\n    !{pager} {{name}}; echo end\nshow('long.txt')", session=session)
    lines = job.stdout.splitlines()
    assert (job.state, lines[-501:]) == ("succeeded", [*(f"line {k}" for k in range(500)), "end"])
    assert executor.run(f"!cat long.txt | {pager} | tail -n 1", session=session).stdout == "line 499\n"
    assert executor.run("!echo less is more", session=session).stdout == "less is more\n"


@needs_terminals
@pytest.mark.skipif(shutil.which("git") is None, reason="has no git")
@pytest.mark.skipif(any(name in os.environ for name in ("GIT_EDITOR", "VISUAL", "EDITOR")), reason="has an editor")
@pytest.mark.parametrize("run", ["!{}", "import os; os.system('{}')", "%%bash\n{}", "!!{}"])
def test_a_command_that_opens_an_editor_fails_at_once(executor: Executor, session: str, run: str) -> None:
    commit = "git -C repository -c user.name=me -c user.email=me commit --allow-empty 2> said"
    code = run.format(f"git init -q repository; {commit}")
    executor.run(code, session=session, timeout_sec=60)
    assert "problem with the editor 'false'" in (executor.root / "said").read_text()


@needs_terminals
def test_a_commands_output_is_live_with_unchanged_lines(executor: Executor, session: str) -> None:
    test = "import os, sys; print(sys.stdout.isatty(), sys.stdin.isatty(), os.get_terminal_size().columns)"
    job = executor.run(f"!{PYTHON} '{test}'\n!printf 'a\\nb\\r\\n\\303'; printf '\\251 end'", session=session)
    assert job.stdout == "True False 80\na\nb\r\né end"
    body = "print('one', flush=True); import time; time.sleep(600)"
    job_id = executor.submit(f'!{PYTHON} "{body}"\nprint("ran on")', session=session)
    executor.wait_for_output(job_id, "one")
    executor.post(f"/jobs/{job_id}/interrupt")
    job = executor.follow(job_id)
    assert job.state == "interrupted"
    assert "ran on" not in job.stdout


@needs_terminals
@pytest.mark.parametrize(
    ("command", "code"),
    [("true", 0), ("exit 3", 3), ("kill -9 $$", -9), ("sh -c 'kill -15 $$'; exit $?", -15), ("no-such-command", 127)],
)
def test_a_commands_exit_code_is_available(executor: Executor, session: str, command: str, code: int) -> None:
    job = executor.run(f"{{}}\n!{command}\nprint('code', _exit_code)", session=session)
    assert job.stdout.endswith(f"code {code}\n")


@needs_terminals
def test_an_interrupt_ends_a_command_that_ignores_it(executor: Executor, session: str) -> None:
    job_id = executor.submit("!trap '' INT TERM; echo $$; while :; do sleep 0.1; done", session=session)
    executor.wait_for_output(job_id, "\n")
    process = int(executor.follow_once(job_id)[1]["text"])
    executor.post(f"/jobs/{job_id}/interrupt")
    assert executor.follow(job_id).state == "interrupted"

    wait_until(lambda: not is_there(process))


@needs_terminals
def test_a_command_ends_with_its_shell_whatever_it_left_running(executor: Executor, session: str) -> None:
    job = executor.run("!sleep 600 & echo $!", session=session, timeout_sec=30)
    assert job.state == "succeeded"
    os.kill(int(job.stdout), 9)


@needs_terminals
def test_a_command_can_use_local_variables(executor: Executor, session: str) -> None:
    code = "def say(word):\n    !echo {word} $word\nsay('here')\nfor k in range(2):\n    !echo {k}"
    assert executor.run(code, session=session).stdout == "here here\n0\n1\n"


@pytest.mark.parametrize("code", ["%debug", "import pdb\npdb.set_trace()\nprint('on')", "breakpoint()\nprint('on')"])
def test_a_debugger_call_raises_an_explanation(executor: Executor, session: str, code: str) -> None:
    executor.run("1 / 0", session=session)
    job = executor.run(code, session=session)
    assert (job.state, job.reason) == ("failed", "python_error")
    [error] = job.of("error")
    assert error["ename"] == "StdinNotImplementedError"
    assert "a debugger cannot be used here" in error["evalue"]
    assert "on\n" not in job.stdout.splitlines(keepends=True)
    assert executor.run("print(1)", session=session).stdout == "1\n"


def test_a_debugger_that_is_always_on_hides_no_error(executor: Executor, session: str) -> None:
    executor.run("%pdb on", session=session)
    job = executor.run("def f():\n    raise ValueError('mine')\nf()", session=session)
    executor.run("%pdb off", session=session)
    [error] = job.of("error")
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert (error["ename"], error["evalue"], job.stdout) == ("ValueError", "mine", "")
    assert "raise ValueError('mine')" in text


def test_a_debugger_with_a_script_runs(executor: Executor, session: str) -> None:
    code = "import io, pdb\nout = io.StringIO()\npdb.Pdb(stdin=io.StringIO('p 6 * 7\\nc\\n'), stdout=out).run('1')"
    job = executor.run(f"{code}\nprint('42' in out.getvalue())", session=session)
    assert (job.state, job.stdout) == ("succeeded", "True\n")

"""Invalid options end the start with exit code 2 and a sentence with a remedy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PACKAGE_PARENT, Executor

ADDRESS = "give an address of this machine"


def start(folder: Path, *arguments: str, **environment: str) -> str:
    """Return the last line that a failing start prints."""
    ours = {name: value for name, value in os.environ.items() if name not in ("ALLOWED_IPS", "SMART_COLAB_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-m", "smart_colab_executor", "--port", "0", "--root", str(folder), *arguments],
        cwd=folder,
        env={**ours, "PYTHONPATH": str(PACKAGE_PARENT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    return last


INVALID: list[tuple[list[str], str]] = [
    (["--port", "70000"], "--port: '70000' is not a port: give a number up to 65535; 0 takes a free one"),
    (["--port=-1"], "--port: '-1' is not a port"),
    (["--port", "http"], "--port: 'http' is not a port"),
    (["--port", "1e3"], "--port: '1e3' is not a port"),
    (["--port", ""], "--port: '' is not a port"),
    (["--host", "nope.invalid"], ADDRESS),
    (["--host", "999.1.1.1"], ADDRESS),
    (["--host", "http://127.0.0.1"], ADDRESS),
    (["--host", ""], ADDRESS),
    (["--host", "a" * 70 + ".b"], ADDRESS),
    (["--host", "192.0.2.1"], ADDRESS),
    (["--root", "missing"], "missing is not a folder: create it"),
    (["--root", "file"], "file is not a folder: create it"),
    (["--state", "file"], "name a folder in which files can be created"),
    (["--state", "file/below"], "name a folder in which files can be created"),
    (["--token-file", "missing"], "--token-file missing: No such file or directory; name a file"),
    (["--token-file", "."], "name a file that holds the token"),
    (["--token-file", "binary"], "--token-file binary is not text; name a file"),
    (["--token-file", "empty"], "--token-file empty: the token must be printable ASCII"),
    (["--token", "with space"], "--token: the token must be printable ASCII"),
    (["--ready-file", "missing/ready"], "--ready-file missing/ready: name a file in an existing folder"),
    (["--ready-file", "."], "--ready-file .: name a file"),
    (["--allow-ips", "10.0.0.0/33"], "--allow-ips: '10.0.0.0/33' is neither an IP address nor a network"),
    (["--allow-ips", "10.0.0.5/24"], "has host bits set; write 203.0.113.7 or 203.0.113.0/24"),
]
# In one process, because most of a start is imports.
START_EACH = """
import json, sys
from smart_colab_executor.cli import main
for arguments in json.load(sys.stdin):
    try:
        main(["--port", "0", "--root", ".", *arguments])
    except SystemExit as end:
        print(end.code)
    print("ended", file=sys.stderr)
"""


def test_an_invalid_option_gives_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xd0")
    ours = {name: value for name, value in os.environ.items() if name not in ("ALLOWED_IPS", "SMART_COLAB_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-c", START_EACH],
        cwd=tmp_path,
        env={**ours, "PYTHONPATH": str(PACKAGE_PARENT)},
        input=json.dumps([arguments for arguments, _ in INVALID]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "2\n" * len(INVALID)
    assert "Traceback" not in done.stderr
    *starts, rest = done.stderr.split("ended\n")
    assert rest == ""
    for (arguments, said), shown in zip(INVALID, starts, strict=True):
        assert said in shown.splitlines()[-1], arguments


@pytest.mark.skipif(sys.platform != "linux", reason="where no user may write")
def test_an_unwritable_state_folder_gives_a_remedy(tmp_path: Path) -> None:
    assert "--state /proc/state: " in start(tmp_path, "--state", "/proc/state")


def test_invalid_environment_settings_are_named(tmp_path: Path) -> None:
    assert "$ALLOWED_IPS: 'anywhere' is neither an IP address" in start(tmp_path, ALLOWED_IPS="anywhere")
    assert "$SMART_COLAB_TOKEN: the token must be" in start(tmp_path, SMART_COLAB_TOKEN="")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = start(tmp_path, "--port", str(port))
    assert f"cannot listen at 127.0.0.1, port {port}: " in said
    assert "another program listens there: choose another --port, or 0 for a free one" in said


@pytest.mark.skipif(os.name == "nt", reason="has no pseudo-terminals")
@pytest.mark.parametrize("token", ["", "a-token-of-the-users-own"])
def test_a_terminal_gets_instructions_to_connect_and_stop(tmp_path: Path, token: str) -> None:
    import pty

    screen, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "SMART_COLAB_TOKEN"}
    process = subprocess.Popen(
        [sys.executable, "-m", "smart_colab_executor", "--port", "0", "--root", str(tmp_path)],
        env={**environment, "PYTHONPATH": str(PACKAGE_PARENT), **({"SMART_COLAB_TOKEN": token} if token else {})},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = ""
    while "Ctrl-C stops the executor" not in shown:
        shown += os.read(screen, 4096).decode()
    ready = json.loads(next(line for line in shown.splitlines() if line.startswith("{")))
    assert f"\r\n{ready['url']}#{ready.get('token', 'YOUR_TOKEN')}\r\n" in shown
    assert ("token" in ready) == (not token)
    assert "a-token" not in shown
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    os.close(screen)


def test_a_program_reads_one_ready_line_and_no_log_has_the_token(tmp_path: Path) -> None:
    with Executor(tmp_path, token=None) as executor:
        executor.post("/shutdown")
        assert executor.process.stdout is not None
        assert executor.process.stdout.read() == b""
        assert executor.token not in executor.log.read_text()

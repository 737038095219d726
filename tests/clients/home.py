"""A home folder for one client: its environment, and the processes that it left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

CHECKOUT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
# What a process needs of the environment to run at all.
INHERITED = ("PATH", "PATHEXT", "SYSTEMROOT", "COMSPEC", "LANG", "TMPDIR", "TEMP", "TMP")
HOME = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
# A port on which nothing listens, for whatever would leave this computer.
NOWHERE = "http://127.0.0.1:9"
END_TIMEOUT = 30.0
# Prints the processes that work in the folder, as lists of id and command line.
LOOK = """
import json, sys, psutil
def works_there(process):
    try:
        return sys.argv[1] in str(process.environ()) + str(process.cmdline())
    except psutil.Error:
        return False
found = [process for process in psutil.process_iter() if process.pid != psutil.Process().pid and works_there(process)]
print(json.dumps([f"{process.pid} {process.name()}" for process in found]))
"""


class Failure(Exception):
    """A client did not pass."""


class Home:
    """A temporary home folder with the settings of the bridge; a context manager."""

    def __init__(self) -> None:
        self.program = os.environ.get("SMART_COLAB_PROGRAM") or str(TARGET / "debug" / _executable("smart-colab"))
        self.python = os.environ.get("SMART_COLAB_PYTHON") or _tests_python()
        if not shutil.which(self.program):
            sys.exit(f"there is no {self.program}: run `cargo build` first, or set SMART_COLAB_PROGRAM")

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="smart-colab-client-")).resolve()
        # The settings of the bridge.
        self.settings = {
            "COLAB_URL": "local",
            "SMART_COLAB_PYTHON": self.python,
            "SMART_COLAB_DATA_DIR": str(self.folder / "data"),
            "LOCAL_SAVE_DIR": str(self.folder / "results"),
            "CHECKPOINT_DIR": str(self.folder / "checkpoints"),
        }
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        proxies = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost"}
        self.environment = {**inherited, **proxies, **dict.fromkeys(HOME, str(self.folder)), **self.settings}
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_that_all_ended(self) -> None:
        """Wait for the end of the client's processes and the server's; raise Failure if some stay."""
        end = time.monotonic() + END_TIMEOUT
        while left := self._processes():
            if time.monotonic() > end:
                raise Failure(f"still running after the client: {', '.join(left)}")
            time.sleep(0.2)

    def _processes(self) -> list[str]:
        looked = subprocess.run([self.python, "-c", LOOK, str(self.folder)], capture_output=True, check=True)
        found: list[str] = json.loads(looked.stdout)
        return found


def _executable(name: str) -> str:
    return f"{name}.exe" if os.name == "nt" else name


def _tests_python() -> str:
    path = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    complete = sorted(TARGET.glob("test-python/*/complete"), key=lambda file: file.stat().st_mtime)
    if not complete:
        sys.exit("there is no Python with the executor's packages: run `cargo test` first, or set SMART_COLAB_PYTHON")
    return str(complete[-1].parent.joinpath(*path))

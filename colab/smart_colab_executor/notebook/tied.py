"""Run a program that ends with this process's stdin: `python tied.py COMMAND …`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

STOP_TIMEOUT_SEC = 15.0


def main(command: list[str]) -> int:
    """Return the program's exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_stdin, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_stdin(process: subprocess.Popen[bytes]) -> None:
    # Not sys.stdin: its lock, held by a waiting thread, makes Python abort at exit.
    while os.read(0, 4096):
        pass
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SEC)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

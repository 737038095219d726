from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import psutil
import pytest

HERE = Path(__file__).parent


class Run:
    """A process that runs the notebook or its start cell's module, with its output line by line."""

    def __init__(self, *command: str, root: Path, **environment: str) -> None:
        self.root = root
        self.output: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parent), **environment},
            start_new_session=True,
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def until(self, text: str) -> str:
        """Read up to the line with the text; limited only by the test's timeout."""
        while True:
            try:
                line = self._lines.get(timeout=100)
            except Empty:
                line = None
            if line is None:
                pytest.fail(f"{text!r} never came:\n" + "\n".join(self.output))
            self.output.append(line)
            if text in line:
                return line

    def line_to_copy(self) -> tuple[str, str]:
        address, _, token = self.until("#").partition("#")
        return address, token

    def executor(self) -> psutil.Process:
        return psutil.Process(json.loads((self.root / ".smart_colab" / "ready.json").read_text())["pid"])

    def end(self) -> int:
        while (line := self._lines.get(timeout=100)) is not None:
            self.output.append(line)
        return self.process.wait(100)

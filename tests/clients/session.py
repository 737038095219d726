"""The scripted session that every client plays: its calls, and what their results must show."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.show()\nprint('slope', 2)"
LINES = 40_000
LONG = f"""\
import time

for i in range({LINES}):
    print("line", i, "." * 40)
print("THE END", flush=True)
while True:
    time.sleep(0.1)
"""


@dataclass(frozen=True)
class Result:
    """A call's result as a client returned it, or handed it to its model."""

    text: str
    pictures: list[bytes] = field(default_factory=list)

    def fact(self, name: str) -> str | None:
        """Return a text of the result's line of JSON."""
        found = re.search(rf'"{name}"\s*:\s*"([^"]*)"', self.text)
        return found and found[1]


class Call(NamedTuple):
    """A call of a tool."""

    tool: str
    arguments: dict[str, Any]


class Session:
    """Hands out one call after the other, and checks their results."""

    def __init__(self) -> None:
        self.checked = 0
        self.fault: str | None = None
        self._job = ""
        self._steps: list[tuple[str, dict[str, Any], Callable[[Result], bool]]] = [
            ("check_colab_connection", {}, lambda result: result.fact("status") == "connected"),
            ("run_code_quick", {"code": PLOT}, shows_the_plot),
            ("run_code_quick", {"code": "1 / 0"}, _shows_the_error),
            ("run_code_long", {"code": LONG, "wait_sec": 1}, self._runs_on),
            ("get_output", {"job_id": "JOB", "until": "^THE END"}, _shows_both_ends),
            ("get_output", {"job_id": "JOB", "grep": "line 20000 "}, lambda result: "line 20000 ..." in result.text),
            ("interrupt_execution", {"job_id": "JOB"}, lambda result: result.fact("state") == "interrupted"),
            ("run_code_quick", {"code": "print('i is', i)"}, lambda result: f"i is {LINES - 1}" in result.text),
        ]

    @property
    def is_complete(self) -> bool:
        """Whether every result was as it must be."""
        return self.checked == len(self._steps)

    @property
    def tools(self) -> set[str]:
        """The tools that are called."""
        return {tool for tool, _, _ in self._steps}

    def next(self, results: list[Result]) -> Call | None:
        """Return the call that follows these results; None at the end, or after a result that is wrong."""
        for result in results[self.checked :]:
            tool, _, is_right = self._steps[self.checked]
            if not is_right(result):
                self.fault = (
                    f"step {self.checked + 1}, {tool}: {len(result.pictures)} pictures and {_short(result.text)}"
                )
            if self.fault:
                return None
            self.checked += 1
        if self.fault or self.is_complete:
            return None
        tool, arguments, _ = self._steps[self.checked]
        return Call(tool, {name: self._job if value == "JOB" else value for name, value in arguments.items()})

    def _runs_on(self, result: Result) -> bool:
        self._job = result.fact("job_id") or ""
        return result.fact("state") == "running" and self._job != ""


def of_blocks(blocks: list[dict[str, Any]]) -> Result:
    """Return the result that consists of these content blocks of MCP."""
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    return Result("\n".join(texts), [base64.b64decode(block["data"]) for block in blocks if block["type"] == "image"])


def shows_the_plot(result: Result) -> bool:
    """Return whether this is the result of `PLOT`."""
    is_png = [picture.startswith(b"\x89PNG") for picture in result.pictures]
    return result.fact("state") == "succeeded" and "slope 2" in result.text and is_png == [True]


def _shows_the_error(result: Result) -> bool:
    return "python_error" in result.text and "ZeroDivisionError: division by zero" in result.text


def _shows_both_ends(result: Result) -> bool:
    lines = [int(number) for number in re.findall(r"^line (\d+) \.{40}$", result.text, re.MULTILINE)]
    # The bridge left out one part, and the client none.
    gaps = sum(after != before + 1 for before, after in itertools.pairwise(lines))
    return lines[:1] == [0] and lines[-1:] == [LINES - 1] and gaps == 1 and "characters left out here" in result.text


def _short(text: str) -> str:
    return json.dumps(text if len(text) < 1_500 else f"{text[:900]} […] {text[-500:]}", ensure_ascii=False)

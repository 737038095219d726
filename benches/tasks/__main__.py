"""Replay ten tasks with two builds, and compare the calls and characters that they cost a model."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import code_tasks
import file_tasks
from model import CALL_BUDGET, Count, Model
from side import Side

NAMES = {"claude-code": "claude-code", "codex": "codex-mcp-client", "gemini": "gemini-cli-mcp-client"}
TEN: dict[str, Callable[[Model], None]] = {
    "probe": code_tasks.probe,
    "training": code_tasks.training,
    "beside": code_tasks.beside,
    "chunks": code_tasks.chunks,
    "table": file_tasks.table,
    "round trip": file_tasks.round_trip,
    "memory": code_tasks.memory,
    "helper": code_tasks.helper,
    "log": code_tasks.log,
    "history": file_tasks.history,
}
HOUR = {"hour": code_tasks.hour}
MAX_CHARACTERS = 1 / 2
MAX_CALLS = 2 / 3
MAX_HOUR_CALLS = 4
# Tools as a client hands them to its model: without output schemas, titles and annotations.
HANDED = ("name", "description", "inputSchema")


@dataclass
class Score:
    """What a build cost."""

    listed: int = 0
    handed: int = 0
    counts: dict[str, Count] = field(default_factory=dict)
    # By task: what went wrong.
    failures: dict[str, str] = field(default_factory=dict)

    def total(self, of: Callable[[Count], float]) -> float:
        """Return the sum over the ten tasks."""
        return sum(of(count) for name, count in self.counts.items() if name in TEN)


def play(checkout: Path, tasks: dict[str, Callable[[Model], None]], args: argparse.Namespace) -> Score:
    """Play the tasks, each with a new executor and bridge."""
    score = Score()
    for name, task in tasks.items():
        with Side(checkout, NAMES[args.client], max(5, round(CALL_BUDGET / args.speed))) as side:
            tools: list[dict[str, Any]] = side.request("tools/list", {})["tools"]
            score.listed = characters(tools)
            score.handed = characters([{key: tool[key] for key in HANDED if key in tool} for tool in tools])
            model = Model(side, args.client, {tool["name"]: tool for tool in tools})
            # Starting Python is not shortened with the tasks' times.
            side.call("run_code_quick", code="pass")
            try:
                task(model)
            except Exception:
                # The other tasks are still played.
                score.failures[name] = f"{checkout}, {name}: {traceback.format_exc(limit=-2)}"
            score.counts[name] = model.count
            if args.transcripts:
                args.transcripts.mkdir(parents=True, exist_ok=True)
                file = args.transcripts / f"{checkout.name}-{name.replace(' ', '-')}.txt"
                file.write_text("\n\n".join(model.transcript), encoding="utf-8")
    return score


def characters(value: object) -> int:
    """Return the length of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def print_table(before: Score, after: Score) -> None:
    """Print both builds side by side."""
    print(f"{'':24}{'calls':>16}{'characters read':>22}{'written':>18}{'pictures':>12}{'':9}")
    print(f"{'task':24}{'before':>8}{'after':>8}{'before':>12}{'after':>10}{'before':>10}{'after':>8}", end="")
    print(f"{'before':>7}{'after':>6}{'ratio':>8}")
    for name in before.counts:
        row(name, before.counts[name], after.counts[name])
        for build, score in (("before", before), ("after", after)):
            if name in score.failures:
                print(f"  {build}: missed its goal, so this row means nothing")
    for name, numbers in (
        ("tools/list, as sent", (before.listed, after.listed)),
        ("tools/list, as handed on", (before.handed, after.handed)),
    ):
        print(f"{name:24}{'':16}{numbers[0]:>12}{numbers[1]:>10}{'':31}{ratio(*numbers):>8}")


def row(name: str, before: Count, after: Count) -> None:
    """Print a task."""
    print(
        f"{name:24}{before.calls:>8}{after.calls:>8}{before.read:>12}{after.read:>10}{before.written:>10}"
        f"{after.written:>8}{before.pictures:>7}{after.pictures:>6}{ratio(before.characters, after.characters):>8}"
    )


def ratio(before: float, after: float) -> str:
    """Return a ratio as text."""
    return f"{after / before:.2f}" if before else "-"


def missed(before: Score, after: Score) -> list[str]:
    """Print the totals; returns the bounds that are missed."""
    faults = [f"a task missed its goal: {failure}" for score in (before, after) for failure in score.failures.values()]
    scores = (before, after)
    replies = [score.total(lambda count: count.characters) for score in scores]
    for what, numbers, bound in (
        ("characters", [replies[i] + score.listed for i, score in enumerate(scores)], MAX_CHARACTERS),
        ("  with tools/list as handed on", [replies[i] + score.handed for i, score in enumerate(scores)], None),
        ("  without tools/list", replies, None),
        ("calls", [score.total(lambda count: count.calls) for score in scores], MAX_CALLS),
    ):
        if not any(name in TEN for name in after.counts):
            break
        wanted = f", wanted {bound:.2f}" if bound else ""
        print(f"{what}: {numbers[0]:,.0f} -> {numbers[1]:,.0f}, ratio {ratio(*numbers)}{wanted}")
        if bound and numbers[1] > bound * numbers[0]:
            faults.append(f"{what}: {ratio(*numbers)} is above {bound:.2f}")
    if "hour" in after.counts and after.counts["hour"].calls > MAX_HOUR_CALLS:
        faults.append(f"hour: {after.counts['hour'].calls} calls are above {MAX_HOUR_CALLS}")
    return faults


def main() -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benches/tasks", description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="checkout with the earlier build in target/debug")
    parser.add_argument("--after", type=Path, required=True, help="checkout with the new build in target/debug")
    parser.add_argument("--speed", type=float, default=9, help="shortens times and call budget, up to 9 (default)")
    parser.add_argument("--client", choices=NAMES, default="claude-code", help="whose way to show replies is counted")
    parser.add_argument("--hour", action="store_true", help="also the hour-long operation: 6 minutes at speed 9")
    parser.add_argument("--only", action="append", choices=[*TEN, *HOUR], help="play only these tasks")
    parser.add_argument("--transcripts", type=Path, metavar="FOLDER", help="write what the model wrote and read there")
    parser.add_argument("--check", action="store_true", help="fail when a bound is missed")
    args = parser.parse_args()
    tasks = TEN | HOUR if args.hour else TEN
    if args.only:
        tasks = {name: task for name, task in (TEN | HOUR).items() if name in args.only}
    with ThreadPoolExecutor(2) as pool:
        before, after = pool.map(lambda checkout: play(checkout.resolve(), tasks, args), (args.before, args.after))
    print_table(before, after)
    faults = missed(before, after)
    for fault in faults:
        print(f"missed: {fault}", file=sys.stderr)
    return int(args.check and bool(faults))


if __name__ == "__main__":
    sys.exit(main())

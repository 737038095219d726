"""A whole agent in one page: plan, act, observe, repeat, within limits.

    python agent.py "Fit a line to y = 3x + noise, plot it, and report the slope"

The model is named in the environment (see README.md); code runs wherever `smart-colab` is configured to run it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mcp import Client, MCPError, StdioServerParameters
from mcp.types import ImageContent, TextContent, Tool
from models import Anthropic, Model, ModelError, Observation, OpenAI, ToolCall

SYSTEM = """You work on a task by running Python on the user's machine or on Google Colab, through the tools.
First write a plan of a few lines. Then act: one small step at a time, reading each result before the next.
Where a step fails, say why and change the plan. When the task is done, answer with the result and call no tool."""
LAST_TURN = """The limit of {limit} is reached: call no more tools.
Say what is done, what is missing, and which job_id still runs, if any."""
MAX_OBSERVATION_CHARS = 20_000


@dataclass
class Limits:
    """Where to stop. What was reached first is told to the model, which then sums up."""

    steps: int = 30
    chars: int = 400_000
    seconds: float = 3600.0
    _begun: float = field(default_factory=time.monotonic)
    _steps: int = 0
    _chars: int = 0

    def count(self, observations: list[Observation]) -> None:
        """Count a step and what was observed in it."""
        self._steps += 1
        self._chars += sum(len(observed.text) for observed in observations)

    def reached(self) -> str | None:
        """Name the limit that is reached; None while there is room."""
        if self._steps >= self.steps:
            return f"{self.steps} steps"
        if self._chars >= self.chars:
            return f"{self.chars} characters"
        if time.monotonic() - self._begun >= self.seconds:
            return f"{self.seconds:.0f} seconds"
        return None


async def work(
    task: str, model: Model, client: Client, limits: Limits, system: str = SYSTEM, show: Callable[[str], None] = print
) -> str:
    """Work on the task until the model calls no tool; return its last words. Raises ModelError."""
    tools = (await client.list_tools()).tools
    model.say(task)
    while not (limit := limits.reached()):
        turn = await model.turn(system, tools)
        show(turn.text)
        if not turn.calls:
            return turn.text
        observations = [await act(client, tools, call, show) for call in turn.calls]
        model.observe(observations)
        limits.count(observations)
    model.say(LAST_TURN.format(limit=limit))
    return (await model.turn(system, tools)).text


async def act(client: Client, tools: list[Tool], call: ToolCall, show: Callable[[str], None]) -> Observation:
    """Call a tool. What goes wrong is an observation too: the model can mend it."""
    show(f"→ {call.name} {call.arguments}")
    if call.arguments is None:
        return Observation(call, "the arguments are not a JSON object: send them again", [], is_error=True)
    if call.name not in {tool.name for tool in tools}:
        return Observation(call, f"there is no tool {call.name}", [], is_error=True)
    try:
        result = await client.call_tool(call.name, call.arguments)
    except MCPError as error:
        return Observation(call, str(error), [], is_error=True)
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    images = [block for block in result.content if isinstance(block, ImageContent)]
    text = "\n".join(texts)
    if len(text) > MAX_OBSERVATION_CHARS:
        text = f"{text[:MAX_OBSERVATION_CHARS]}\n[… cut at {MAX_OBSERVATION_CHARS} characters …]"
    show(f"← {text[:300]}")
    return Observation(call, text, images, is_error=bool(result.is_error))


def chosen_model() -> Model:
    """Return the model that the environment names."""
    given = os.environ.get
    name, key, url = given("MODEL"), given("ANTHROPIC_API_KEY"), given("OPENAI_BASE_URL")
    if name and key:
        return Anthropic(given("ANTHROPIC_BASE_URL", "https://api.anthropic.com").rstrip("/"), key, name)
    if name and url:
        return OpenAI(url.rstrip("/"), given("OPENAI_API_KEY", ""), name)
    sys.exit("set MODEL, and ANTHROPIC_API_KEY or OPENAI_BASE_URL (with OPENAI_API_KEY, if the server wants one)")


def server() -> StdioServerParameters:
    """Return how to start the bridge."""
    program = os.environ.get("BRIDGE") or shutil.which("smart-colab")
    if program is None:
        sys.exit("smart-colab is not on the PATH: install it, or name the program in BRIDGE")
    # Code that the model writes could read what the bridge's environment holds: the keys stay here.
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return StdioServerParameters(command=program, args=[], env=env)


async def main(system: str = SYSTEM) -> int:
    """Read the command line, and work; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--max-steps", type=int, default=Limits.steps)
    parser.add_argument("--max-chars", type=int, default=Limits.chars)
    parser.add_argument("--max-sec", type=float, default=Limits.seconds)
    options = parser.parse_args()
    limits = Limits(options.max_steps, options.max_chars, options.max_sec)
    model = chosen_model()
    async with Client(server()) as client:
        # Handled in here: the client's task group would wrap what leaves it.
        try:
            print(f"\n{await work(options.task, model, client, limits, system)}")
        except ModelError as error:
            print(f"{error}\nCode that was sent keeps its output: list_jobs shows it, in any client.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""A careful model that sees `tools/list` and replies only, and what it reads and writes, counted."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from goals import expect
from side import Side

# Seconds that a call may take where a client waits a minute; the tasks' times are written for it.
CALL_BUDGET = 45.0
MAX_LOOKS = 200


@dataclass(frozen=True)
class Reply:
    """A reply as a client shows it to its model."""

    text: str
    pictures: int
    is_error: bool
    facts: dict[str, Any]

    @property
    def is_running(self) -> bool:
        """Whether its work goes on."""
        return self.facts.get("state", self.facts.get("status")) in {"running", "queued"}


@dataclass
class Count:
    """The cost of a task."""

    calls: int = 0
    read: int = 0
    written: int = 0
    pictures: int = 0

    @property
    def characters(self) -> int:
        """Read and written."""
        return self.read + self.written


@dataclass
class Model:
    """Plays tasks on a side."""

    side: Side
    client: str
    tools: dict[str, dict[str, Any]]
    count: Count = field(default_factory=Count)
    transcript: list[str] = field(default_factory=list)

    def seconds(self, wanted: float, reserve: float = 0) -> float:
        """Shorten a time of a task as the call budget is shortened, of which `reserve` cannot be shortened."""
        return round(wanted * (self.side.budget - reserve) / (CALL_BUDGET - reserve), 4)

    def rest(self, wanted: float, reserve: float = 0) -> None:
        """End the turn; the user comes back after so many seconds."""
        self.transcript.append(f"--- {wanted:.0f} s later")
        time.sleep(self.seconds(wanted, reserve))

    def offers(self, tool: str, argument: str) -> bool:
        """Return whether `tools/list` shows this argument."""
        return argument in self.tools[tool]["inputSchema"].get("properties", {})

    def offered(self, tool: str, **arguments: object) -> dict[str, object]:
        """Return the arguments that the tool takes."""
        return {name: value for name, value in arguments.items() if self.offers(tool, name)}

    def runs_by_itself(self) -> bool:
        """Return whether a chunked operation resumes by its name, and so without its code and without calls."""
        return "n_iterations" not in self.tools["run_chunked_operation"]["inputSchema"].get("required", [])

    def call(self, tool: str, **arguments: object) -> Reply:
        """Call a tool and read its reply."""
        wrote = json.dumps(arguments, ensure_ascii=False)
        reply = shown(self.side.call(tool, **arguments), self.client)
        self.count.calls += 1
        self.count.written += len(wrote)
        self.count.read += len(reply.text)
        self.count.pictures += reply.pictures
        self.transcript.append(f">>> {tool} {wrote}\n{reply.text}")
        return reply

    def run(self, code: str, **arguments: object) -> Reply:
        """Run short code to its end."""
        return self.follow(self.call("run_code_quick", code=code, **arguments))

    def follow(self, reply: Reply, until: str | None = None, wait: float | None = None, **wanted: object) -> Reply:
        """Look until work has ended, or a line of its output matches `until`; `text` is all that was shown.

        Without `until` in `get_output`, looks are `wait` seconds apart. `wanted`: arguments for builds that offer them.
        """
        seen = [reply.text]
        for _ in range(MAX_LOOKS):
            if not reply.is_running or (until and re.search(until, "\n".join(seen))):
                break
            arguments = self.offered("get_output", **wanted)
            if until and self.offers("get_output", "until"):
                arguments["until"] = until
            elif wait is not None:
                arguments["wait_sec"] = max(1, round(self.seconds(wait)))
            if "next" in reply.facts:
                arguments["after"] = reply.facts["next"]
            reply = self.call("get_output", job_id=reply.facts["job_id"], **arguments)
            seen.append(reply.text)
        return Reply("\n".join(seen), reply.pictures, reply.is_error, reply.facts)

    def secretly(self, code: str, pattern: str) -> str:
        """Run code that is no part of the task; returns the group of the pattern in its output."""
        reply = shown(self.side.call("run_code_quick", code=code), self.client)
        return str(expect(reply.text, pattern).group(1))


def shown(result: dict[str, Any], client: str) -> Reply:
    """Return what a client makes of a result.

    Claude Code shows JSON and pictures where there is structured content, of an error the text alone; Codex the JSON
    alone; Gemini CLI text and pictures. Without structured content all show the blocks.
    """
    blocks = result.get("content", [])
    is_error = bool(result.get("isError"))
    structured = result.get("structuredContent")
    texts = [text_of(block) for block in blocks if block["type"] != "image"]
    pictures = sum(block["type"] == "image" for block in blocks)
    shows_json = structured is not None and (client == "codex" or (client == "claude-code" and not is_error))
    text = json.dumps(structured, ensure_ascii=False, separators=(",", ":")) if shows_json else "\n".join(texts)
    if (shows_json and client == "codex") or (is_error and client == "claude-code"):
        pictures = 0
    return Reply(text, pictures, is_error, structured or facts(texts))


def text_of(block: dict[str, Any]) -> str:
    """Return a block as text."""
    match block["type"]:
        case "text":
            return str(block["text"])
        case "resource_link":
            return f"[Resource link: {block['name']}] {block['uri']}"
        case _:
            return json.dumps(block, ensure_ascii=False)


def facts(texts: list[str]) -> dict[str, Any]:
    """Return the line of facts, the first or the last line of a block."""
    lines = [line for text in texts for line in (text.split("\n", 1)[0], text.rstrip("\n").rsplit("\n", 1)[-1])]
    for line in lines:
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.keys() & {"state", "status", "success"}:
                return found
    return {}

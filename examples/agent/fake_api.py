"""A model API on loopback that plays a script, and refuses requests that the real APIs refuse."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A step of the script: text, and the calls (tool, arguments) beside it. Text in place of arguments is sent as it is.
Step = tuple[str, list[tuple[str, Any]]]


class FakeApi:
    """Answers the n-th accepted request with the n-th step; the last step is repeated."""

    def __init__(self, steps: list[Step], faults: list[int] | None = None) -> None:
        self.steps = steps
        self.faults = list(faults or [])
        self.requests: list[dict[str, Any]] = []

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body for a request."""
        if self.faults:
            return self.faults.pop(0), {"error": {"message": "overloaded"}}
        check, form = (_check_anthropic, _anthropic) if path == "/v1/messages" else (_check_openai, _openai)
        if fault := check(body):
            return 400, {"error": {"message": fault}}
        text, calls = self.steps[min(len(self.requests), len(self.steps) - 1)]
        self.requests.append(body)
        return 200, form(text, [(f"call_{len(self.requests)}_{i}", *call) for i, call in enumerate(calls)])


def _anthropic(text: str, calls: list[tuple[str, str, Any]]) -> dict[str, Any]:
    uses = [{"type": "tool_use", "id": id_, "name": name, "input": input_} for id_, name, input_ in calls]
    content = [{"type": "text", "text": text}, *uses]
    return {"role": "assistant", "content": content, "stop_reason": "tool_use" if calls else "end_turn"}


def _openai(text: str, calls: list[tuple[str, str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": id_,
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for id_, name, given in calls
        ]
    return {"choices": [{"message": message, "finish_reason": "tool_calls" if calls else "stop"}]}


def _check_anthropic(body: dict[str, Any]) -> str | None:
    """Name the first rule of the Messages API that the request breaks."""
    if not {"model", "max_tokens", "messages"} <= body.keys():
        return "model, max_tokens and messages are required"
    asked: set[str] = set()
    for message in body["messages"]:
        content = message["content"]
        blocks = content if isinstance(content, list) else []
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if answered != asked:
            return f"tool_use ids were found without tool_result blocks immediately after: {asked ^ answered}"
        asked = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return None


def _check_openai(body: dict[str, Any]) -> str | None:
    """Name the first rule of chat completions that the request breaks."""
    open_calls: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls or not isinstance(message["content"], str):
                return "a tool message answers no call, or is not text"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"tool_call_ids did not have response messages: {open_calls}"
        open_calls = {call["id"] for call in message.get("tool_calls", [])}
    return None


@contextmanager
def serving(answer: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """Serve until the end of the block; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = answer(self.path, body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            if status in {429, 529}:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()

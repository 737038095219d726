"""Model APIs on loopback with a model that plays the session: those of Anthropic, OpenAI and Gemini."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from session import Call, Result, Session

Json = dict[str, Any]
# The model's last words.
DONE = "The session is done."


class Model(ABC):
    """A model that plays a session. Each kind speaks the API of one vendor."""

    # What the client puts before the names of the bridge's tools.
    prefix = ""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()

    def answer(self, path: str, body: Json) -> str:
        """Return the response to a request: a JSON object, or a stream of events."""
        with self._lock:
            return self.reply(path, body)

    def next(self, body: Json, results: list[Result]) -> Call | None:
        """Return the call that follows these results, if its tool is among those that the request offers."""
        call = self.session.next(results)
        if not call:
            return None
        name = f"{self.prefix}{call.tool}"
        if json.dumps(name) not in json.dumps(body["tools"]):
            self.session.fault = f"the model was not offered {name}"
            return None
        return Call(name, call.arguments)

    @abstractmethod
    def reply(self, path: str, body: Json) -> str:
        """Return the response to a request that is part of the session or of the client's own business."""


class Anthropic(Model):
    """Messages, as Claude Code streams them. It offers most tools only after a search for them."""

    prefix = "mcp__smart-colab__"

    def reply(self, path: str, body: Json) -> str:
        """Answer the talk by the next call, and a request without tools by a text."""
        if path.endswith("count_tokens"):
            return json.dumps({"input_tokens": 9})
        blocks = [
            block
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        # The first is that of the search.
        results = [_anthropic_result(block) for block in blocks if block["type"] == "tool_result"]
        start: Json = {"type": "text", "text": ""}
        delta: Json = {"type": "text_delta", "text": DONE}
        call: Call | None = None
        if body.get("tools"):
            call = self.next(body, results[1:]) if results else self._search()
        if call:
            start = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": call.tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
        end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
        return events(
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        )

    def _search(self) -> Call:
        names = ",".join(f"{self.prefix}{tool}" for tool in sorted(self.session.tools))
        return Call("ToolSearch", {"query": f"select:{names}", "max_results": 20})


class OpenAI(Model):
    """Responses, as Codex streams them."""

    def reply(self, path: str, body: Json) -> str:
        """Answer by the next call."""
        if not path.endswith("/responses"):
            return json.dumps({"object": "list", "data": [], "models": []})
        results = [_openai_result(item["output"]) for item in body["input"] if item["type"] == "function_call_output"]
        call = self.next(body, results)
        number = len(results)
        said = [{"type": "output_text", "text": DONE, "annotations": []}]
        item: Json = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": said}
        if call:
            item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
            item |= {"namespace": "mcp__smart_colab", "name": call.tool, "arguments": json.dumps(call.arguments)}
        item["status"] = "completed"
        usage: Json = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": f"resp_{number}", "object": "response", "model": body["model"], "usage": usage}
        return events(
            {"type": "response.created", "response": response | {"status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response | {"status": "completed", "output": [item]}},
        )


class Gemini(Model):
    """Contents, as Gemini CLI asks for them."""

    prefix = "mcp_smart-colab_"

    def reply(self, path: str, body: Json) -> str:
        """Answer the talk by the next call, and a request without tools by a text."""
        action = path.rsplit(":", 1)[-1]
        if action == "countTokens":
            return json.dumps({"totalTokens": 9})
        results = [_gemini_result(parts) for content in body["contents"] if _is_response(parts := content["parts"])]
        call = self.next(body, results) if body.get("tools") else None
        part: Json = {"text": DONE}
        if call:
            part = {"functionCall": {"name": call.tool, "args": call.arguments}}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        reply = {"candidates": [candidate], "usageMetadata": usage}
        return json.dumps(reply) if action == "generateContent" else events(reply)


@contextlib.contextmanager
def serving(model: Model) -> Iterator[str]:
    """Serve a model's API on loopback; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self._answer("{}")

        def do_POST(self) -> None:
            length = self.headers["content-length"]
            body = json.loads(self.rfile.read(int(length)) if length else self._chunks())
            self._answer(model.answer(self.path.split("?")[0], body))

        def _chunks(self) -> bytes:
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def _answer(self, text: str) -> None:
            data = text.encode()
            self.send_response(200)
            self.send_header("content-type", "application/json" if text.startswith("{") else "text/event-stream")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def events(*messages: Json) -> str:
    """Return a stream of events, each named by its type if it has one."""
    names = [f"event: {message['type']}\n" if "type" in message else "" for message in messages]
    return "".join(f"{name}data: {json.dumps(message)}\n\n" for name, message in zip(names, messages, strict=True))


def _anthropic_result(block: Json) -> Result:
    content = block["content"]
    if isinstance(content, str):
        return Result(content)
    texts = [part["text"] for part in content if part["type"] == "text"]
    pictures = [base64.b64decode(part["source"]["data"]) for part in content if part["type"] == "image"]
    return Result("\n".join(texts), pictures)


def _openai_result(output: str | list[Json]) -> Result:
    if isinstance(output, str):
        return Result(output)
    texts = [part["text"] for part in output if part["type"] == "input_text"]
    addresses = [part["image_url"] for part in output if part["type"] == "input_image"]
    return Result("\n".join(texts), [base64.b64decode(address.partition(",")[2]) for address in addresses])


def _is_response(parts: list[Json]) -> bool:
    return any("functionResponse" in part for part in parts)


def _gemini_result(parts: list[Json]) -> Result:
    responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
    texts = [str(value) for response in responses for value in response["response"].values()]
    held = [*parts, *(part for response in responses for part in response.get("parts", []))]
    return Result(
        "\n".join(texts), [base64.b64decode(part["inlineData"]["data"]) for part in held if "inlineData" in part]
    )

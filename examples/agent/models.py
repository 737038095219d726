"""Two model APIs behind one interface: Anthropic's Messages, and the chat completions of OpenAI and many others.

A conversation is kept in the API's own form, so that what is sent is what the API documents.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
from mcp.types import ImageContent, Tool

MAX_TRIES = 5
MAX_DELAY_SEC = 30.0
ANSWER_TIMEOUT_SEC = 300.0
MAX_TOKENS = 8192
# Nothing runs at the API, so a request may be repeated: too many requests, a fault there, overloaded.
TRANSIENT = {408, 409, 429, 500, 502, 503, 504, 529}


@dataclass
class ToolCall:
    """A tool that the model wants to be called. `arguments` is None where the model's JSON cannot be read."""

    id: str
    name: str
    arguments: dict[str, Any] | None


@dataclass
class Turn:
    """What the model said, and the tools that it asks for."""

    text: str
    calls: list[ToolCall]


@dataclass
class Observation:
    """The result of a tool call, as the model is to see it."""

    call: ToolCall
    text: str
    images: list[ImageContent]
    is_error: bool


class Model(Protocol):
    """A conversation with a model."""

    def say(self, text: str) -> None:
        """Add a message of the user's."""

    def observe(self, observations: list[Observation]) -> None:
        """Add the results of all calls of the last turn."""

    async def turn(self, system: str, tools: list[Tool]) -> Turn:
        """Return the model's next turn. Raises `ModelError`."""


class ModelError(Exception):
    """The API refused, or did not answer. The message names what to change and holds no key."""


class Anthropic:
    """The Messages API: https://docs.claude.com/en/api/messages ."""

    def __init__(self, url: str, key: str, name: str) -> None:
        self._post = _Post(f"{url}/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"})
        self._name = name
        self._messages: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """Add a message of the user's."""
        self._messages.append({"role": "user", "content": text})

    def observe(self, observations: list[Observation]) -> None:
        """Add the results of all calls of the last turn."""
        results = [
            {
                "type": "tool_result",
                "tool_use_id": observed.call.id,
                "is_error": observed.is_error,
                "content": [{"type": "text", "text": observed.text}, *map(self._image, observed.images)],
            }
            for observed in observations
        ]
        self._messages.append({"role": "user", "content": results})

    @staticmethod
    def _image(image: ImageContent) -> dict[str, Any]:
        source = {"type": "base64", "media_type": image.mime_type, "data": image.data}
        return {"type": "image", "source": source}

    async def turn(self, system: str, tools: list[Tool]) -> Turn:
        """Return the model's next turn. Raises `ModelError`."""
        named = [
            {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
            for tool in tools
        ]
        reply = await self._post(
            {
                "model": self._name,
                "max_tokens": MAX_TOKENS,
                "system": system,
                "tools": named,
                # Messages of the last turns name tools, so the tools stay in the request even where none may be called.
                "messages": self._messages,
            }
        )
        blocks = reply["content"]
        self._messages.append({"role": "assistant", "content": blocks})
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        calls = [
            ToolCall(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ]
        return Turn("\n".join(texts), calls)


class OpenAI:
    """Chat completions, as vLLM and Ollama serve them too: https://platform.openai.com/docs/api-reference/chat ."""

    def __init__(self, url: str, key: str, name: str) -> None:
        self._post = _Post(f"{url}/chat/completions", {"Authorization": f"Bearer {key}"} if key else {})
        self._name = name
        self._messages: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """Add a message of the user's."""
        self._messages.append({"role": "user", "content": text})

    def observe(self, observations: list[Observation]) -> None:
        """Add the results of all calls of the last turn."""
        for observed in observations:
            self._messages.append({"role": "tool", "tool_call_id": observed.call.id, "content": observed.text})
        # A tool's message holds text alone: pictures follow in a message of the user's.
        images = [image for observed in observations for image in observed.images]
        if images:
            urls = [{"url": f"data:{image.mime_type};base64,{image.data}"} for image in images]
            parts = [{"type": "image_url", "image_url": url} for url in urls]
            self._messages.append({"role": "user", "content": [{"type": "text", "text": "The pictures:"}, *parts]})

    async def turn(self, system: str, tools: list[Tool]) -> Turn:
        """Return the model's next turn. Raises `ModelError`."""
        functions = [
            {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
            for tool in tools
        ]
        reply = await self._post(
            {
                "model": self._name,
                "messages": [{"role": "system", "content": system}, *self._messages],
                "tools": [{"type": "function", "function": function} for function in functions],
            }
        )
        message = reply["choices"][0]["message"]
        self._messages.append(message)
        calls = [
            ToolCall(call["id"], call["function"]["name"], _parsed(call["function"]["arguments"]))
            for call in message.get("tool_calls") or []
        ]
        return Turn(message.get("content") or "", calls)


def _described(tool: Tool, schema: str) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description or "", schema: tool.input_schema}


def _parsed(arguments: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


class _Post:
    """Posts JSON, and repeats what may succeed later."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(headers=headers, timeout=ANSWER_TIMEOUT_SEC)

    async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        fault, delay = "", 0.0
        for attempt in range(MAX_TRIES):
            await asyncio.sleep(delay)
            delay = min(2.0**attempt, MAX_DELAY_SEC)
            try:
                reply = await self._client.post(self._url, json=body)
            except httpx2.TransportError as error:
                fault = f"{self._url} cannot be reached ({error!r}): check the address and the network"
                continue
            if reply.is_success:
                return dict(reply.json())
            fault = f"{self._url} answered {reply.status_code}: {reply.text[:500]}"
            if reply.status_code not in TRANSIENT:
                break
            asked = reply.headers.get("retry-after", "")
            delay = min(float(asked), MAX_DELAY_SEC) if asked.isdecimal() else delay
        raise ModelError(fault)

"""Messages of a kernel on a WebSocket, in the two forms that Jupyter Server has."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("in_kernel.py").read_text(encoding="utf-8")

# Channel, header, parent header, metadata, content; buffers follow.
CONTENT = 4


def asking(kind: str) -> str:
    """Return a line of code that asks the front end for this, and waits for the reply."""
    return f"(lambda scope: (exec({SOURCE!r}, scope), scope['ask_front_end']({kind!r})))({{}})"


def split(frame: bytes) -> list[bytes] | None:
    """Return the parts of a frame of `v1.kernel.websocket.jupyter.org`, or None."""
    if len(frame) < 8:
        return None
    [count] = struct.unpack_from("<Q", frame)
    if not CONTENT + 2 <= count <= len(frame) // 8 - 1:
        return None
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    return [frame[start:end] for start, end in pairwise(offsets)]


def joined(parts: list[bytes]) -> bytes:
    """Return the frame of parts."""
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def decoded(message: str | bytes) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]] | None:
    """Return channel, header, metadata and content of a message, or None."""
    if isinstance(message, str):
        body = json.loads(message)
        return body.get("channel", ""), body["header"], body.get("metadata", {}), body["content"]
    parts = split(message)
    if parts is None:
        return None
    return parts[0].decode(), json.loads(parts[1]), json.loads(parts[3]), json.loads(parts[CONTENT])


def with_prefix(message: str | bytes, line: str) -> str | bytes | None:
    """Return an `execute_request` with a line before its code, or None for any other message."""
    if len(message) > 2**23 or ("execute_request" if isinstance(message, str) else b"execute_request") not in message:  # type: ignore[operator]
        return None
    decoding = decoded(message)
    if decoding is None or decoding[1].get("msg_type") != "execute_request":
        return None
    content = decoding[3]
    if content["code"].lstrip().startswith("%%"):
        return None
    content["code"] = f"{line}\n{content['code']}"
    if isinstance(message, str):
        return json.dumps(json.loads(message) | {"content": content})
    parts = split(message)
    if parts is None:
        return None
    parts[CONTENT] = json.dumps(content).encode()
    return joined(parts)

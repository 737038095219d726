"""Turns a kernel's iopub messages into events of a job."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from ..in_kernel.jsonline import dump
from ..kernels.widget_text import without_tags
from .spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT_CHARS = 16 * 1024
MAX_INLINE_BYTES = 256 * 1024
# For a text too long to be inline, the length of the head and of the tail beside its blob.
MAX_END_CHARS = 8 * 1024

# `<IPython.core.display.HTML object>`, `<pandas.io.formats.style.Styler at 0x7f…>`.
EMPTY_NAME = re.compile(r"<.*( object| at 0x[0-9a-fA-F]+)>")


def record_note(spool: Spool, note: str | None) -> None:
    """Spool a line of the executor's own, if there is one. Raises OSError."""
    if note:
        record(spool, "stream", {"name": "stderr", "text": note})


def record(spool: Spool, kind: str, content: Mapping[str, Any]) -> None:
    """Spool one iopub message; kinds without output are ignored. Raises OSError when the disk is full."""
    captured = {"widget": content["widget"]} if "widget" in content else {}
    match kind:
        case "stream":
            name, text = content["name"], content["text"]
            log_at = spool.log(text)
            pieces = []
            for start in range(0, len(text), MAX_TEXT_CHARS):
                piece = text[start : start + MAX_TEXT_CHARS]
                pieces.append(dump({"name": name, "text": piece, "log_at": log_at} | captured))
                log_at += len(piece.encode("utf-8", "replace"))
            spool.append_all(kind, pieces)
        case "display_data" | "update_display_data" | "execute_result":
            is_live = bool(content.get("live"))
            # The log holds only a bar's last state.
            logged = {} if is_live else _log_text(spool, content["data"])
            event = {"type": "display_data", "data": _bundle(spool, content["data"]), "metadata": content["metadata"]}
            event |= captured | logged
            if kind == "update_display_data":
                event["update"] = True
            if display_id := content.get("transient", {}).get("display_id"):
                event["display_id"] = display_id
            if is_live:
                event["live"] = True
            if kind == "execute_result":
                event |= {"type": kind, "execution_count": content["execution_count"]}
            spool.append(event)
        case "widgets":
            # Always a blob: only notebook exports read it.
            spool.append({"type": kind, "states": spool.keep_blob("application/json", dump(content["states"]))})
        case "clear_output":
            spool.append({"type": kind, "wait": bool(content.get("wait"))} | captured)
        case "error":
            log_at = spool.log("\n".join(content["traceback"]), own_line=True)
            said = {name: content[name] for name in ("ename", "evalue", "traceback")}
            spool.append({"type": "error", "log_at": log_at} | said | captured)


def plain_text(kind: str, content: Mapping[str, Any]) -> str:
    """Return the plain text that a message shows."""
    if kind == "stream":
        return str(content["text"])
    data = content["data"] if kind in ("display_data", "update_display_data") else {}
    text = data.get("text/plain")
    if isinstance(text, str) and EMPTY_NAME.fullmatch(text):
        said = data.get("text/markdown") or data.get("text/latex") or without_tags(str(data.get("text/html", "")))
        text = str(said).strip() or text
    return f"{text}\n" if isinstance(text, str) else ""


def _log_text(spool: Spool, data: Mapping[str, Any]) -> dict[str, int]:
    """Log a value's text; return the event's member that says where."""
    text = data.get("text/plain")
    return {"log_at": spool.log(text, own_line=True)} if isinstance(text, str) and text else {}


def _bundle(spool: Spool, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mime bundle with its binary and large values kept as blobs."""
    bundle: dict[str, Any] = {}
    for mime, value in data.items():
        raw = _binary(mime, value)
        if raw is None:
            whole = value.encode("utf-8", "replace") if isinstance(value, str) else dump(value)
            raw = whole if len(whole) > MAX_INLINE_BYTES else None
        bundle[mime] = value if raw is None else spool.keep_blob(mime, raw)
        if raw is not None and _is_text(mime):
            text = value if isinstance(value, str) else raw.decode()
            bundle[mime] |= {"head": text[:MAX_END_CHARS], "tail": text[-MAX_END_CHARS:]}
    return bundle


def _is_text(mime: str) -> bool:
    return mime.startswith("text/") or mime == "application/json" or mime.endswith("+json")


def _binary(mime: str, value: object) -> bytes | None:
    kind = mime.partition("/")[0]
    is_binary = kind in ("image", "audio", "video") and not mime.endswith("+xml")
    if not isinstance(value, str) or not (is_binary or mime == "application/pdf"):
        return None
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None

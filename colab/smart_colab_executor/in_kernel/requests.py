"""The executor's requests to a kernel, `smart_colab_request` messages on the shell and the control channel.

Runs in the kernel, as `_smart_colab.requests`; standard library only. The control channel has its own thread, so it
answers while a cell runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .messages import MESSAGE_TYPE, REPLY_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable


def install(kernel: Any, operations: dict[str, Callable[..., Any]]) -> None:
    """Answer requests by the operation that each names, called with its other arguments."""

    def handle(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        content = dict(parent["content"])
        try:
            reply = {"ok": True, "value": operations[content.pop("operation")](**content)}
        except Exception as error:  # noqa: BLE001, RUF100 - must not end the kernel's thread
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        kernel.session.send(stream, REPLY_TYPE, reply, parent, ident=ident)

    for handlers in (kernel.control_handlers, kernel.shell_handlers):
        handlers[MESSAGE_TYPE] = handle

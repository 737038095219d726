"""Shows payloads for a notebook's interface (help, loaded code) as output, in order.

Runs in the kernel, as `_smart_colab.payloads`; standard library only. By default a payload arrives with the reply,
after all output, and only the last of its kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAX_FILE_CHARS = 64 * 1024


class Payloads:
    """Shows the text of payloads immediately."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        shell.payload_manager.write_payload = self._write

    def _write(self, data: Any, *_arguments: Any, **_options: Any) -> None:
        source = data.get("source")
        if source == "page":
            self._shell.display_pub.publish(data["data"])
        elif source == "set_next_input":
            self._shell.display_pub.publish({"text/plain": data["text"]})
        elif source == "edit_magic":
            with Path(data["filename"]).open(encoding="utf-8", errors="replace") as file:
                self._shell.display_pub.publish({"text/plain": file.read(MAX_FILE_CHARS)})

"""Drive a kernel by jupyter_client directly: reads `{"code": …, "to": …}` a line, answers with the seconds it took.

`to` is a file for the code's output. The kernel is that of the connection file in the arguments, or a new one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

PATIENCE = 300.0


def run(client: BlockingKernelClient, code: str, to: str | None) -> float:
    """Return the seconds from the request to the reply and the end of the output."""
    began = perf_counter()
    request = client.execute(code)
    with open(Path(to), "w", encoding="utf-8") if to else nullcontext() as file:  # noqa: PTH123
        while True:
            message = client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream" and file is not None:
                file.write(content["text"])
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                break
    while True:
        reply = client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"].get("msg_id") == request:
            break
    took = perf_counter() - began
    if reply["content"]["status"] != "ok":
        raise RuntimeError(str(reply["content"]))
    return took


@contextmanager
def connected(file: str) -> Iterator[BlockingKernelClient]:
    """Connect to a running kernel."""
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield client
    finally:
        client.stop_channels()


@contextmanager
def started() -> Iterator[BlockingKernelClient]:
    """Start a kernel."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    """Serve until stdin ends."""
    with connected(sys.argv[1]) if len(sys.argv) > 1 else started() as client:
        for line in sys.stdin:
            wanted = json.loads(line)
            print(json.dumps(run(client, wanted["code"], wanted.get("to"))), flush=True)


main()

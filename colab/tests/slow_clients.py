"""A crowd of slow clients, in a separate process: `python slow_clients.py HOST PORT TOKEN KIND COUNT PATH`.

It prints "ready" when all are connected, and runs until its stdin ends.

- `sender`: sends a request one byte at a time
- `reader`: reads its reply in small pieces, with long pauses
- `idle`: connects, and says nothing
- `poll`: asks and waits for the reply, again and again
- `execute`: has long code run, and waits for its end
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
from contextlib import suppress

PAUSE_SEC = 0.1


def connect(host: str, port: int, *, room: int | None = None) -> socket.socket:
    connection = socket.socket()
    if room is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.connect((host, port))
    return connection


def wait_for_the_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def main(host: str, port: int, token: str, kind: str, count: int, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    if kind == "execute":
        code = b'{"code": "import time; time.sleep(600)", "session": "greedy"}'
        length = f"Content-Length: {len(code)}\r\n\r\n".encode()
        request = b"POST" + request[3:-2] + length + code
    crowd = [connect(host, port, room=4096 if kind == "reader" else None) for _ in range(count)]
    if kind in ("reader", "poll", "execute"):
        for client in crowd:
            client.sendall(request)
    over = threading.Event()
    threading.Thread(target=wait_for_the_end, args=(over,), daemon=True).start()
    if kind == "reader":
        for client in crowd:
            assert client.recv(12).endswith(b"200"), "refused"
    print("ready", flush=True)
    if kind == "sender":
        padding = b"X-Padding: " + b"x" * 100_000
        slow = request[:-2] + padding
        for byte in slow:
            for client in crowd:
                with suppress(ConnectionError):  # the slowest are disconnected in favor of others
                    client.send(bytes([byte]))
            if over.wait(PAUSE_SEC):
                break
    elif kind == "reader":
        while not over.wait(PAUSE_SEC):
            for client in crowd:
                assert client.recv(1024), "cut"
    elif kind == "poll":
        answered = selectors.DefaultSelector()
        for client in crowd:
            answered.register(client, selectors.EVENT_READ)
        while not over.is_set():
            for key, _ in answered.select(PAUSE_SEC):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    assert key.fileobj.recv(65536)
                    key.fileobj.sendall(request)
                except (AssertionError, ConnectionError):  # it may be disconnected between two requests
                    answered.unregister(key.fileobj)
    else:
        over.wait()
    for client in crowd:
        client.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6])

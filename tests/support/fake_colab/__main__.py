"""Google Colab on loopback, for tests: `python fake_colab --jupyter-url URL --jupyter-token TOKEN`.

The sign-in, the control plane of the web page, the official API, and a host for each assigned machine, which
leads to a real Jupyter Server. It prints its address as a line of JSON and ends with its input. `knobs.py` says
what `/_fake` changes and shows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading

from knobs import Fake
from machine import ignore
from oauth import Auth, Token
from official import Operation, Runtime, Runtimes, RuntimeSpecs, Subscription
from state import Server, State
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tunnel import Assign, Assignments, Credentials, KeepAlive, Unassign, Units

ROUTES = [
    (r"/_fake", Fake),
    (r"/auth", Auth),
    (r"/token", Token),
    (r"/tun/m/assign", Assign),
    (r"/tun/m/assignments", Assignments),
    (r"/tun/m/ccu-info", Units),
    (r"/tun/m/unassign/([^/]+)", Unassign),
    (r"/tun/m/credentials-propagation/([^/]+)", Credentials),
    (r"/tun/m/([^/]+)/keep-alive/", KeepAlive),
    (r"/v1beta/runtimes", Runtimes),
    (r"/v1beta/runtimes/([^/]+)", Runtime),
    (r"/v1beta/runtimespecs", RuntimeSpecs),
    (r"/v1beta/subscription", Subscription),
    (r"/v1/operations/([^/:]+)(:wait)?", Operation),
]


async def serve(servers: list[Server]) -> None:
    """Serve until the input ends."""
    [socket] = bind_sockets(0, "127.0.0.1")
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    HTTPServer(Application(ROUTES, state=State(servers, url), log_function=ignore)).add_sockets([socket])
    sys.stdout.write(json.dumps({"url": url, "kernel_pids": None}) + "\n")
    sys.stdout.flush()

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


def main() -> None:
    """Read the arguments: machine n uses the n-th server, the last one repeats."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jupyter-url", action="append", required=True)
    parser.add_argument("--jupyter-token", action="append", required=True, help="one for all, or one for each URL")
    arguments = parser.parse_args()
    urls, tokens = arguments.jupyter_url, arguments.jupyter_token
    if len(tokens) == 1:
        tokens *= len(urls)
    asyncio.run(serve([Server(url.rstrip("/"), token) for url, token in zip(urls, tokens, strict=True)]))


if __name__ == "__main__":
    main()

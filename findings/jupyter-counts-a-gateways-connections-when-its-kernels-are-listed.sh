#!/usr/bin/env bash
# One would expect: GET /api/sessions of a Jupyter Server says how many clients are connected to each notebook's kernel, as
# the `connections` of its model promise: one open tab, one connection.
#
# What happens: with its kernels behind a gateway, jupyter_server 2.21.1 shows the count of the gateway's list as it was when
# somebody last asked GET /api/kernels. A connected client counts 0, however often the sessions are read, until the kernels
# are listed once; without a gateway it counts at once.
#
# Why it matters: a program that asks the sessions whether a notebook is open in a tab, to warn before it overwrites the
# tab's work, hears that nobody has it open.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 ipykernel==7.4.0 jupyter_client==8.10.0
mkdir "$folder/root" "$folder/far"
cd "$folder"
JUPYTER_CONFIG_DIR="$folder/config" "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupyter_server
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

TOKEN = {"Authorization": "token a-token"}


def start(root, *more):
    """Start a server; return its process and address."""
    command = [sys.executable, "-m", "jupyter_server", "--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root"]
    command += ["--IdentityProvider.token=a-token", f"--ServerApp.root_dir={root}", *more]
    runtime = Path("runtime", root)
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime.absolute())}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    started.append(process)
    for _ in range(600):
        try:
            url = json.loads(next(runtime.glob("jpserver-*.json")).read_text())["url"]
            call(url, "GET", "api/status")
            return url
        except (StopIteration, OSError, ValueError):
            time.sleep(0.1)
    raise SystemExit("a server did not start")


def call(url, method, path, body=None):
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(url + path, data, TOKEN, method=method)) as reply:
        return json.loads(reply.read() or b"{}")


async def counted(url):
    """Connect a client; return what the sessions say before and after the kernels are listed."""
    body = {"path": "a.ipynb", "name": "a.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
    kernel = call(url, "POST", "api/sessions", body)["kernel"]["id"]
    channels = f"ws{url.removeprefix('http')}api/kernels/{kernel}/channels?session_id=tab"
    tab = await websocket_connect(HTTPRequest(channels, headers=TOKEN))
    # A kernel that answers has its client.
    header = {"msg_id": "1", "msg_type": "kernel_info_request", "session": "tab", "username": "", "version": "5.3"}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": {}}
    await tab.write_message(json.dumps(message))
    while json.loads(await tab.read_message())["msg_type"] != "kernel_info_reply":
        pass
    seen = []
    for listing in (False, False, True):
        if listing:
            await asyncio.to_thread(call, url, "GET", "api/kernels")
        [session] = await asyncio.to_thread(call, url, "GET", "api/sessions")
        seen.append(session["kernel"]["connections"])
        await asyncio.sleep(1)
    tab.close()
    return seen


started = []
try:
    far = start("far")
    plain = asyncio.run(counted(far))
    near = start("root", f"--gateway-url={far.rstrip('/')}", "--GatewayClient.auth_token=a-token")
    behind = asyncio.run(counted(near))
finally:
    for process in reversed(started):
        process.terminate()
        process.wait(60)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
print(f"connections of one client in /api/sessions, twice, then after GET /api/kernels: {plain}; behind a gateway {behind}")
sys.exit(0 if (plain, behind) == ([1, 1, 1], [0, 0, 1]) else "the behaviour has changed")
PYTHON

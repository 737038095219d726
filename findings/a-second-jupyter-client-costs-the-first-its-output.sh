#!/usr/bin/env bash
# One would expect: Jupyter Server keeps a kernel's messages for a client whose connection broke, and replays them when
# it comes back under the same session id; its documentation speaks of buffering.
#
# What happens: jupyter_server 2.21.1 buffers only from the moment when a kernel's last connection closes. With a second
# client on the same kernel, say an open JupyterLab tab, nothing is kept for the first: what is printed while it is away never
# reaches it, and nothing says so. Alone, the same client gets every line.
#
# Why it matters: a program that reads output from the WebSocket works in all tests, and loses output on the machine of a
# person who looks on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 ipykernel==7.4.0 jupyter_client==8.10.0
mkdir "$folder/root"
cd "$folder"
JUPYTER_RUNTIME_DIR="$folder/runtime" JUPYTER_CONFIG_DIR="$folder/config" "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupyter_server
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

TOKEN = {"Authorization": "token a-token"}
# Ten lines, then ten while the client is away (until it makes the file), then ten.
CODE = f"""
import pathlib, time
root = pathlib.Path({str(Path("root").absolute())!r})
for i in range(30):
    print("line", i, flush=True)
    if i == 9:
        while not (root / "away").exists(): time.sleep(0.05)
    if i == 19:
        (root / "printed").touch()
        while not (root / "back").exists(): time.sleep(0.05)
"""
command = [sys.executable, "-m", "jupyter_server", "--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root"]
command += ["--IdentityProvider.token=a-token", "--ServerApp.root_dir=root"]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)


def call(method, path):
    with urllib.request.urlopen(urllib.request.Request(url + path, None, TOKEN, method=method)) as reply:
        return json.loads(reply.read() or b"{}")


async def connect(kernel, session):
    channels = f"ws{url.removeprefix('http')}api/kernels/{kernel}/channels?session_id={session}"
    return await websocket_connect(HTTPRequest(channels, headers=TOKEN))


async def lines(socket, last):
    """Return the printed lines up to the one that is named."""
    text = ""
    while f"line {last}\n" not in text:
        message = json.loads(await socket.read_message())
        if message["msg_type"] == "stream":
            text += message["content"]["text"]
    return text.split("\n")[:-1]


async def received(other):
    for name in ("away", "printed", "back"):
        Path("root", name).unlink(missing_ok=True)
    kernel = call("POST", "api/kernels")["id"]
    first = await connect(kernel, "first")
    looker = await connect(kernel, "looker") if other else None
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "first", "username": "", "version": "5.3"}
    content = {"code": CODE, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    await first.write_message(json.dumps(message))
    before = await lines(first, 9)
    first.close()
    while await first.read_message() is not None:
        pass
    Path("root/away").touch()
    while not Path("root/printed").exists():
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    again = await connect(kernel, "first")
    Path("root/back").touch()
    after = await lines(again, 29)
    for socket in filter(None, (again, looker)):
        socket.close()
    return len(before) + len(after)


try:
    for _ in range(600):
        try:
            url = json.loads(next(Path("runtime").glob("jpserver-*.json")).read_text())["url"]
            call("GET", "api/status")
            break
        except (StopIteration, OSError, ValueError):
            time.sleep(0.1)
    alone, beside = asyncio.run(received(other=False)), asyncio.run(received(other=True))
finally:
    server.terminate()
    server.wait(60)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
print(f"of 30 lines, the only client received {alone}; with another client on the kernel it received {beside}")
sys.exit(0 if (alone, beside) == (30, 20) else "the behaviour has changed")
PYTHON

#!/usr/bin/env bash
# One would expect: a call that runs a cell in a tab of Colab fails when the tab is closed.
#
# What happens: with colab-mcp (its main branch of March 2026, with the versions of its uv.lock) the call is never answered, also when a tab is open
# again. That tab gets the next call without the `initialize` that begins a session of MCP: the session with the first one goes on.
#
# Why it matters: a client without a limit of its own hangs until it is restarted, and nothing says why.
set -euo pipefail
constraints=$(cd "$(dirname "$0")/../benches/peers" && pwd)/colab_mcp.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.13 -m venv "$folder/venv"
commit=bcad40658cd687a5c80019a441130c69dfab448c
"$folder/venv/bin/pip" -q install -c "$constraints" "git+https://github.com/googlecolab/colab-mcp@$commit"
printf '#!/bin/sh\necho "$1" > "%s/opened"\n' "$folder" > "$folder/browser"
chmod +x "$folder/browser"
cd "$folder"
BROWSER="$folder/browser" "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import websockets

PATIENCE = 20
TOOL = {"name": "run_code_cell", "inputSchema": {"type": "object", "properties": {"cellId": {"type": "string"}}}}


class Tab:
    """A tab of Colab: an MCP server that dials, and answers all but the first cell's run."""

    async def open(self, runs):
        token, port = re.search(r"mcpProxyToken=(.*)&mcpProxyPort=(\d+)", Path("opened").read_text()).groups()
        url = f"ws://localhost:{port}/?access_token={token}"
        self.socket = await websockets.connect(url, origin="https://colab.google.com", subprotocols=["mcp"])
        self.called, self.is_greeted = asyncio.Event(), False
        self.serving = asyncio.create_task(self.serve(runs))

    async def serve(self, runs):
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
        with suppress(websockets.ConnectionClosed):
            async for text in self.socket:
                message = json.loads(text)
                match message["method"]:
                    case "initialize":
                        self.is_greeted = True
                        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}}
                        result["serverInfo"] = {"name": "tab", "version": "1"}
                    case "tools/list":
                        result = {"tools": [TOOL]}
                    case "tools/call":
                        self.called.set()
                        result = {"content": [{"type": "text", "text": "ran"}]}
                        if not runs:
                            continue
                    case _:
                        continue
                await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))


class Server:
    """colab-mcp, and its client."""

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        null = asyncio.subprocess.DEVNULL
        program = str(Path(sys.executable).with_name("colab-mcp"))
        self.process = await asyncio.create_subprocess_exec(program, stdin=pipe, stdout=pipe, stderr=null, limit=2**20)
        self.waiting, self.count = {}, 0
        self.reading = asyncio.create_task(self.read())
        client = {"name": "client", "version": "1"}
        await self.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        self.send({"method": "notifications/initialized"})

    async def read(self):
        async for line in self.process.stdout:
            message = json.loads(line)
            if "id" in message and message["id"] in self.waiting:
                self.waiting.pop(message["id"]).set_result(message)

    def send(self, message):
        self.process.stdin.write((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())

    def ask(self, method, params):
        self.count += 1
        answer = self.waiting[self.count] = asyncio.get_running_loop().create_future()
        self.send({"id": self.count, "method": method, "params": params})
        return answer

    def call(self, tool, arguments):
        return self.ask("tools/call", {"name": tool, "arguments": arguments})


async def main():
    server, first, second = Server(), Tab(), Tab()
    await server.start()
    try:
        opening = server.call("open_colab_browser_connection", {})
        while not Path("opened").exists():
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        await first.open(runs=False)
        await opening
        call = server.call("run_code_cell", {"cellId": "a"})
        await first.called.wait()
        await first.socket.close()
        await second.open(runs=True)
        later = await server.call("run_code_cell", {"cellId": "b"})
        done, _ = await asyncio.wait([call], timeout=PATIENCE)
        return bool(done), later["result"].get("isError", False), second.is_greeted
    finally:
        server.process.kill()
        await server.process.wait()


found = answered, failed, greeted = asyncio.run(main())
print(f"the call in flight was {'' if answered else 'not '}answered within {PATIENCE} s after its tab was closed")
print(f"a call in the next tab {'failed' if failed else 'worked'}; that tab was {'' if greeted else 'not '}sent `initialize`")
sys.exit(0 if found == (False, False, False) else "the behaviour has changed")
PYTHON

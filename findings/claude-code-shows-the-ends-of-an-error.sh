#!/usr/bin/env bash
# One would expect: what Claude Code hands its model of an MCP tool's result does not depend on whether it is an error, or that
# an error, which the model has to understand, is kept best.
#
# What happens: Claude Code 2.1.332 keeps a good result of up to 50,000 characters whole, and of a result with `isError` the
# first and last 5,000 characters, whatever the blocks and bytes. No setting names that limit.
#
# Why it matters: 12,000 characters of output are fine, and once they end in a traceback the middle is gone, with what the
# server said about its own cut there. A server should leave out the middle of an error itself, and say how to read it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/home" "$folder/npm"
npm --prefix "$folder/npm" install --silent --no-audit --no-fund --no-package-lock @anthropic-ai/claude-code@2.1.332 > /dev/null 2>&1
(cd "$folder/npm/node_modules/@anthropic-ai/claude-code" && node install.cjs > /dev/null)

# An MCP server with one tool.
cat > "$folder/server.py" <<'PYTHON'
import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        info = {"name": "long", "version": "1"}
        reply["result"] = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    elif message["method"] == "tools/list":
        schema = {"type": "object", "properties": {"length": {"type": "integer"}, "error": {"type": "boolean"}}}
        reply["result"] = {"tools": [{"name": "say", "description": "Says much.", "inputSchema": schema}]}
    elif message["method"] == "tools/call":
        arguments = message["params"]["arguments"]
        content = [{"type": "text", "text": "x" * arguments["length"]}]
        reply["result"] = {"content": content, "isError": arguments["error"]}
    else:
        reply["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(reply), flush=True)
PYTHON

# The client against a model on loopback that makes one call after the other.
cat > "$folder/look.py" <<'PYTHON'
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = sys.argv[1]
CALLS = [(9_900, True), (12_000, True), (12_000, False), (49_000, False)]
seen = []


class Model(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.split("?")[0].endswith("count_tokens"):
            return self.answer("application/json", json.dumps({"input_tokens": 9}).encode())
        blocks = [block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]]
        results = [block["content"] for block in blocks if block["type"] == "tool_result"]
        # Only the talk itself has tools.
        if body.get("tools"):
            seen[:] = results
        if body.get("tools") and len(results) < len(CALLS):
            length, error = CALLS[len(results)]
            start = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": "mcp__long__say", "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps({"length": length, "error": error})}
            stop = "tool_use"
        else:
            start, delta, stop = {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}, "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self.answer("text/event-stream", text.encode())

    def answer(self, kind, data):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
server = {"command": sys.executable, "args": [f"{FOLDER}/server.py"]}
options = ["--mcp-config", json.dumps({"mcpServers": {"long": server}}), "--strict-mcp-config", "--allowedTools", "mcp__long"]
environment = {
    "HOME": f"{FOLDER}/home",
    "PATH": os.environ["PATH"],
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{model.server_port}",
    "ANTHROPIC_API_KEY": "none",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}
claude = f"{FOLDER}/npm/node_modules/.bin/claude"
command = [claude, "-p", "go", "--model", "claude-sonnet-4-5", *options]
subprocess.run(command, cwd=f"{FOLDER}/home", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
whole = []
for (length, error), content in zip(CALLS, seen, strict=True):
    text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    whole.append("x" * length in text)
    cut = "".join(line for line in text.splitlines() if "truncated" in line)
    print(f"{'error' if error else 'result'} of {length} characters: {'whole' if whole[-1] else cut}")
sys.exit(0 if whole == [True, False, True, True] else 1)
PYTHON
python3 "$folder/look.py" "$folder"

#!/usr/bin/env bash
# One would expect: a client's limit on the size of an MCP tool's result counts the whole result.
#
# What happens: Gemini CLI 0.61.0 cuts a result of one text block at 40,000 characters, to the first 8,000 and the last
# 32,000. A result of two blocks is not cut at all: 400,000 characters reach the model.
#
# Why it matters: the same log, once with a line of facts before it in a block of its own and once without, costs a hundred
# thousand tokens or ten. A server that counts on the client's limit floods the conversation: it has to keep one itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/home/.gemini" "$folder/npm"
npm --prefix "$folder/npm" install --silent --no-audit --no-fund --no-package-lock @google/gemini-cli@0.61.0 > /dev/null 2>&1

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
        schema = {"type": "object", "properties": {"length": {"type": "integer"}, "blocks": {"type": "integer"}}}
        reply["result"] = {"tools": [{"name": "say", "description": "Says much.", "inputSchema": schema}]}
    elif message["method"] == "tools/call":
        arguments = message["params"]["arguments"]
        block = {"type": "text", "text": "x" * arguments["length"]}
        reply["result"] = {"content": [block] * arguments["blocks"]}
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
CALLS = [(39_000, 1), (41_000, 1), (41_000, 2), (200_000, 2)]
seen = []


class Model(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        length = self.headers["content-length"]
        body = json.loads(self.rfile.read(int(length)) if length else self.chunks())
        action = self.path.split("?")[0].rsplit(":", 1)[1]
        if action == "countTokens":
            return self.answer("application/json", json.dumps({"totalTokens": 9}))
        parts = [part for content in body["contents"] for part in content["parts"]]
        results = [part["functionResponse"]["response"]["output"] for part in parts if "functionResponse" in part]
        if body.get("tools"):
            seen[:] = results
        if body.get("tools") and len(results) < len(CALLS):
            length, blocks = CALLS[len(results)]
            part = {"functionCall": {"name": "mcp_long_say", "args": {"length": length, "blocks": blocks}}}
        else:
            part = {"text": "done"}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        content = {"role": "model", "parts": [part]}
        reply = json.dumps({"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage})
        if action == "generateContent":
            return self.answer("application/json", reply)
        self.answer("text/event-stream", f"data: {reply}\n\n")

    def chunks(self):
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self, kind, text):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
server = {"command": sys.executable, "args": [f"{FOLDER}/server.py"], "trust": True}
settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
settings |= {"general": {"enableAutoUpdate": False}, "mcpServers": {"long": server}}
with open(f"{FOLDER}/home/.gemini/settings.json", "w") as file:
    json.dump(settings, file)
environment = {
    "HOME": f"{FOLDER}/home",
    "PATH": os.environ["PATH"],
    "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{model.server_port}",
    "GEMINI_API_KEY": "AIza" + "x" * 35,
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "NO_BROWSER": "1",
}
gemini = f"{FOLDER}/npm/node_modules/.bin/gemini"
command = [gemini, "-p", "go", "--yolo", "-m", "gemini-2.5-flash"]
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.run(command, cwd=f"{FOLDER}/home", env=environment, check=True, timeout=120, **quiet)
whole = []
for (length, blocks), text in zip(CALLS, seen, strict=True):
    whole.append(text.count("x" * length) == blocks)
    print(f"{blocks} of {length} characters: {len(text)} reach the model, {'whole' if whole[-1] else 'cut'}")
sys.exit(0 if whole == [True, False, True, True] else 1)
PYTHON
python3 "$folder/look.py" "$folder"

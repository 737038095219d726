#!/usr/bin/env bash
# One would expect: the model reads the text of an MCP tool's error as it reads the text of a good result.
#
# What happens: of an error Gemini CLI 0.61.0 hands the model one string: the arguments of the call once more, then the
# result as JSON in JSON (a line feed is `\n` there), then a `structuredContent` that the server never sent: the client parses
# the first text block, and if that is JSON, adds it to the result. Of a good result the model sees the text alone.
#
# Why it matters: code of 10,000 characters that fails costs 20,000, and facts in a first block of JSON come twice, once with
# every quote escaped. What an error says should be short.
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
        schema = {"type": "object", "properties": {"code": {"type": "string"}, "error": {"type": "boolean"}}}
        reply["result"] = {"tools": [{"name": "say", "description": "Says two things.", "inputSchema": schema}]}
    elif message["method"] == "tools/call":
        arguments = message["params"]["arguments"]
        texts = ['{"state":"failed","job":"7"}', "first line\nlast line"]
        content = [{"type": "text", "text": text} for text in texts]
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
CODE = "pass # " + "x" * 10_000
CALLS = [False, True]
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
        results = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
        if body.get("tools"):
            seen[:] = results
        if body.get("tools") and len(results) < len(CALLS):
            arguments = {"code": CODE, "error": CALLS[len(results)]}
            part = {"functionCall": {"name": "mcp_long_say", "args": arguments}}
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
good, error = seen[0]["output"], seen[1]["error"]
facts = [text.replace("\\", "").count('"state":"failed"') for text in (good, error)]
lines = ["first line\nlast line" in text for text in (good, error)]
for name, text in (("result", good), ("error", error)):
    print(f"{name}: {len(text)} characters:", text.replace(CODE, CODE[:8] + "…").replace("\n", " "))
is_as_described = facts == [1, 2] and lines == [True, False] and CODE in error and CODE not in good
sys.exit(0 if is_as_described and '"structuredContent"' in error else 1)
PYTHON
python3 "$folder/look.py" "$folder"

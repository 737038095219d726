#!/usr/bin/env bash
# One would expect: a chunk of an upload by the Contents API has a number, so the same chunk sent twice, after a lost
# reply, takes the same place.
#
# What happens: jupyter_server 2.21.1 opens the file for appending at every chunk after the first, whatever its number.
# A repeated chunk is in the file twice, a chunk out of order is accepted, and each answer is 200 or 201. Readers see the half file
# under its final name meanwhile.
#
# Why it matters: an upload that is retried as HTTP clients do after a lost reply gives a longer file, and no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 ipykernel==7.4.0 jupyter_client==8.10.0
mkdir "$folder/root"
cd "$folder"
JUPYTER_RUNTIME_DIR="$folder/runtime" JUPYTER_CONFIG_DIR="$folder/config" "$folder/venv/bin/python" - <<'PYTHON'
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupyter_server

command = [sys.executable, "-m", "jupyter_server", "--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root"]
command += ["--IdentityProvider.token=a-token", "--ServerApp.root_dir=root"]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)


def call(method, path, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url + path, data, {"Authorization": "token a-token"}, method=method)
    with urllib.request.urlopen(request) as reply:
        return reply.status


try:
    url = ""
    for _ in range(600):
        try:
            url = json.loads(next(Path("runtime").glob("jpserver-*.json")).read_text())["url"]
            call("GET", "api/status")
            break
        except (StopIteration, OSError, ValueError):
            time.sleep(0.1)
    statuses = []
    for chunk, content in [(1, "one."), (2, "two."), (2, "two."), (-1, "end.")]:
        body = {"type": "file", "format": "text", "chunk": chunk, "content": content}
        statuses.append(call("PUT", "api/contents/file.txt", body))
    written = Path("root/file.txt").read_text()
finally:
    server.terminate()
    server.wait(60)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
print(f"chunks 1, 2, 2 again, and the last: answers {statuses}, and the file holds {written!r}")
sys.exit(0 if written == "one.two.two.end." else "the behaviour has changed")
PYTHON

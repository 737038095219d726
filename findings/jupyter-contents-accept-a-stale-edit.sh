#!/usr/bin/env bash
# One would expect: the Contents API gives each file a `hash` and a `last_modified`, and its PUT a model with the same
# fields, so an edit of an older version is refused; or that `If-Match` and `If-Unmodified-Since` do it, as in HTTP.
#
# What happens: jupyter_server 2.21.1 answers 200 to a PUT with the hash and the date of the version before, and to one
# with conditional headers that cannot hold. The last writer wins, and nobody is told.
#
# Why it matters: two programs that edit one notebook cannot protect each other by this API; JupyterLab's own warning
# about a file that "has changed on disk" is a comparison of dates in the browser, and leaves a gap.
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
import urllib.error
import urllib.request
from pathlib import Path

import jupyter_server

command = [sys.executable, "-m", "jupyter_server", "--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root"]
command += ["--IdentityProvider.token=a-token", "--ServerApp.root_dir=root"]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)


def call(method, path, body=None, **headers):
    data = json.dumps(body).encode() if body else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url + path, data, {"Authorization": "token a-token", **named}, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}


def save(text, model=None, **headers):
    body = {"type": "file", "format": "text", "content": text, **(model or {})}
    return call("PUT", "api/contents/notes.txt", body, **headers)[0]


try:
    url = ""
    for _ in range(600):
        try:
            url = json.loads(next(Path("runtime").glob("jpserver-*.json")).read_text())["url"]
            call("GET", "api/status")
            break
        except (StopIteration, OSError, ValueError):
            time.sleep(0.1)
    save("first")
    _, first = call("GET", "api/contents/notes.txt?content=0&hash=1")
    time.sleep(1.1)
    save("second, by another program")
    stale = {name: first[name] for name in ("hash", "hash_algorithm", "last_modified")}
    statuses = {
        "the older hash and date in the model": save("third, from the first", stale),
        "If-Match with another tag": save("fourth", If_Match='"no-such-tag"'),
        "If-Unmodified-Since in 1990": save("fifth", If_Unmodified_Since="Mon, 01 Jan 1990 00:00:00 GMT"),
    }
    written = Path("root/notes.txt").read_text()
finally:
    server.terminate()
    server.wait(60)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
for condition, status in statuses.items():
    print(f"a save with {condition}: {status}")
accepted = set(statuses.values()) == {200} and written == "fifth"
sys.exit(0 if accepted and first["hash"] else "the behaviour has changed")
PYTHON

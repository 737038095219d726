#!/usr/bin/env bash
# One would expect: a kernel that a Jupyter server is asked for (`POST /api/kernels` with a name alone) starts in the folder
# whose files the server shows, as a kernel of a notebook there does.
#
# What happens: jupyter_server 2.21.1 starts it in the folder in which the server itself was started, which
# `--ServerApp.root_dir` need not be. Only a request with a `path`, be it the empty one, gets the folder of the files.
#
# Why it matters: what code writes does not show up among the server's files, and what was uploaded there is not found;
# where server and files are in the same folder, as by default, nobody notices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 ipykernel==7.4.0 jupyter_client==8.10.0
mkdir "$folder/started" "$folder/files"
cd "$folder/started"
export JUPYTER_RUNTIME_DIR="$folder/runtime" JUPYTER_CONFIG_DIR="$folder/config" IPYTHONDIR="$folder/ipython"
"$folder/venv/bin/python" - "$folder/files" <<'PYTHON'
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupyter_server
from jupyter_client.blocking import BlockingKernelClient

files = Path(sys.argv[1]).resolve()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
command += [f"--ServerApp.port={port}", "--IdentityProvider.token=a-token", f"--ServerApp.root_dir={files}"]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "token a-token", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return reply.read()


def folder_of_kernel(body):
    kernel = json.loads(ask("POST", "/api/kernels", body))["id"]
    client = BlockingKernelClient()
    client.load_connection_file(os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], f"kernel-{kernel}.json"))
    client.start_channels()
    client.wait_for_ready(timeout=60)
    printed = []
    client.execute_interactive(
        "import os; print(os.getcwd(), end='')",
        output_hook=lambda message: printed.append(message["content"].get("text", "")),
        timeout=60,
    )
    client.stop_channels()
    return Path("".join(printed)).resolve()


try:
    for _ in range(300):
        try:
            ask("GET", "/api")
            break
        except OSError:
            time.sleep(0.1)
    alone = folder_of_kernel({"name": "python3"})
    with_path = folder_of_kernel({"name": "python3", "path": ""})
finally:
    server.terminate()
    server.wait(30)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
print(f"server started in {Path.cwd().name}, its files in {files.name}")
print(f"kernel asked for by name alone: {alone.name}; with an empty path: {with_path.name}")
sys.exit(0 if (alone, with_path) == (Path.cwd().resolve(), files) else "the behaviour has changed")
PYTHON

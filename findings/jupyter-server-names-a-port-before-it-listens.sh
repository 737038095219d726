#!/usr/bin/env bash
# One would expect: when `jpserver-PID.json` is there, the server that it names accepts connections. Programs find running
# servers by these files, and a program that starts one with `--port=0` learns the port from it.
#
# What happens: jupyter_server 2.21.1 finds a free port, gives it back, writes the file, and binds the port only when its
# event loop runs. A connection in between is refused, and with port 0 any other program may take the port meanwhile.
#
# Why it matters: "the file is there" is no sign of readiness. A program that connects at once fails now and then.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jupyter_server==2.21.1 ipykernel==7.4.0 jupyter_client==8.10.0
cd "$folder"
JUPYTER_RUNTIME_DIR="$folder/runtime" JUPYTER_CONFIG_DIR="$folder/config" "$folder/venv/bin/python" - <<'PYTHON'
import json
import socket
import sys
from pathlib import Path

import jupyter_server
from jupyter_server.serverapp import ServerApp
from tornado.ioloop import IOLoop

seen = []


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


class Server(ServerApp):
    def write_server_info_file(self):
        super().write_server_info_file()
        port = json.loads(Path(self.info_file).read_text())["port"]
        seen.append(accepts(port))
        loop = IOLoop.current()
        # Behind everything that is scheduled by now: the server has bound its port.
        loop.call_later(2, lambda: loop.run_in_executor(None, accepts, port).add_done_callback(self.end))

    def end(self, later):
        seen.append(later.result())
        IOLoop.current().add_callback(IOLoop.current().stop)


Server.launch_instance(
    ["--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root", "--IdentityProvider.token=a-token", "--log-level=ERROR"]
)
print("jupyter_server", jupyter_server.__version__, "on Python", sys.version.split()[0])
print(f"a connection right after the file was written: {'accepted' if seen[0] else 'refused'}; 2 s later: {'accepted' if seen[1] else 'refused'}")
sys.exit(0 if seen == [False, True] else "the behaviour has changed")
PYTHON

"""The notebook's start cell with a Jupyter Server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from start_cell import Run
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from smart_colab_executor.notebook.live_log import request

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
CODE = "import os; print(sorted(n for n in os.environ if 'TOKEN' in n), 6 * 7)"


def printed(url: str, token: str) -> str:
    """Run CODE in a new kernel, as JupyterLab does; return what it printed."""

    async def run() -> str:
        kernel = request(url, token, "/api/kernels", "POST")["id"]
        channels = f"ws{url.removeprefix('http')}/api/kernels/{kernel}/channels?session_id=test"
        asked = HTTPRequest(channels, headers={"Authorization": f"token {token}"})
        socket = await websocket_connect(asked)
        header = {"msg_id": "1", "msg_type": "execute_request", "session": "test", "username": "", "version": "5.3"}
        content = {"code": CODE, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        await socket.write_message(json.dumps(message))
        text = ""
        while not text:
            received = json.loads(str(await socket.read_message()))
            if received["msg_type"] == "stream":
                text = str(received["content"]["text"])
        socket.close()
        while await socket.read_message() is not None:
            pass
        return text

    return asyncio.run(run())


def ready_line(run: Run) -> str:
    return run.until("jupyter lab --gateway-url=")


def test_it_serves_the_bridge_and_jupyterlab_and_is_replaced_by_the_next_run(
    cell: Callable[..., Run], tmp_path: Path
) -> None:
    run = cell(SMART_COLAB_SERVER="Jupyter Server", JUPYTER_TOKEN="an-older-one")
    line = run.until("jupyter+http://127.0.0.1:")
    url, _, token = line.removeprefix("jupyter+").partition("/?token=")
    lab = ready_line(run)
    assert len(token) >= 22
    assert "kernels" in request(url, token, "/api/status")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        request(url, "an-older-one", "/api/status")
    server = psutil.Process(json.loads(next((tmp_path / ".smart_colab/jupyter").glob("*.json")).read_text())["pid"])
    assert token not in " ".join(server.cmdline())
    assert token not in server.environ().values()

    # JupyterLab's server, with the printed options: its kernels run there.
    options = shlex.split(lab)[2:]
    command = [sys.executable, "-P", "-m", "jupyter_server", *options, "--ServerApp.port=0", "--allow-root"]
    command += ["--ServerApp.open_browser=False", f"--ServerApp.root_dir={tmp_path}"]
    local = {"JUPYTER_RUNTIME_DIR": str(tmp_path / "laptop"), "JUPYTER_TOKEN": "the-laptop"}
    with subprocess.Popen(command, env=os.environ | local, stderr=subprocess.DEVNULL) as laptop:
        try:
            assert printed(wait_for_address(tmp_path / "laptop", laptop), "the-laptop").endswith(" 42\n")
        finally:
            laptop.terminate()
    assert printed(url, token) == "['JUPYTER_TOKEN_FILE'] 42\n"
    kernels = server.children(recursive=True)
    assert kernels

    second = cell(SMART_COLAB_SERVER="executor")
    second.until("Replacing the Jupyter Server of an earlier run")
    assert run.end() == 0
    assert psutil.wait_procs([server, *kernels], timeout=60)[1] == []
    assert second.line_to_copy()[1] == token
    request(json.loads((tmp_path / ".smart_colab/server.json").read_text())["url"], token, "/shutdown", "POST")
    assert second.end() == 0


def wait_for_address(runtime: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until a Jupyter Server answers; limited only by the test's timeout."""
    while process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(OSError, ValueError):  # half written, or not listening yet
                url = str(json.loads(file.read_text())["url"]).rstrip("/")
                request(url, "the-laptop", "/api/status")
                return url
        time.sleep(0.05)
    pytest.fail("the Jupyter Server has ended")


@posix
def test_it_ends_with_the_notebook(cell: Callable[..., Run], tmp_path: Path) -> None:
    run = cell(SMART_COLAB_SERVER="Jupyter Server")
    ready_line(run)
    server = psutil.Process(json.loads(next((tmp_path / ".smart_colab/jupyter").glob("*.json")).read_text())["pid"])
    os.kill(run.process.pid, signal.SIGKILL)
    assert psutil.wait_procs([server], timeout=60)[1] == []

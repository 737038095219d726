"""The notebook's start cell: install, start the server, open the tunnel, show running code, clean up.

Runs in the notebook's own kernel, the only place where Colab's secrets can be read: standard library only.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ..core.spoiled import clear_place
from .drive import keep_saved_sessions
from .live_log import request
from .servers import SERVERS, Server
from .settings import EXECUTOR, Settings, read_settings, secret
from .tunnels import Cloudflare, Ngrok, NoTunnel, SetupError, Tunnel, end, find_cloudflared

NGROK = "ngrok>=1.4,<2"
# Files of the state folder that are read or written here.
FILES = ("token", "ready.json", "server.json", "server.log", "cloudflared.log")

START_TIMEOUT_SEC = 60.0
STOP_TIMEOUT_SEC = 20.0
TUNNEL_RETRY_DELAY_SEC = 30.0


def start(
    tunnel: str = "ngrok",
    domain: str = "",
    root: Path | str = ".",
    allowed_ips: str = "",
    server: str = EXECUTOR,
    drive_folder: str = "",
) -> None:
    """Serve until the cell is stopped or the server is shut down."""
    settings = read_settings(server, tunnel, domain, Path(root), secret, allowed_ips)
    if drive_folder.strip():
        keep_saved_sessions(settings.root, drive_folder.strip())
    needed = SERVERS[settings.server].needed
    install([*needed, NGROK] if settings.tunnel == "ngrok" else needed)
    settings.state.mkdir(parents=True, exist_ok=True)
    token = settings.token or kept_token(settings.state / "token") or secrets.token_urlsafe(32)
    with contextlib.suppress(KeyboardInterrupt), running(settings, token) as (process, address):
        serve(settings, process, address, token)
    print(f"\nStopped: the {settings.server} and its tunnel are closed. Run this cell to start again.", flush=True)


def serve(settings: Settings, process: subprocess.Popen[bytes], address: str, token: str) -> None:
    """Keep the tunnel open and show running code, until the server ends."""
    server = SERVERS[settings.server]
    tunnel = open_tunnel(settings, address)
    try:
        if settings.allowed_ips:
            print(f"Only these addresses are served: {settings.allowed_ips}\n", flush=True)
        server.announce(tunnel.url, token)
        show_news = server.news(address, token)
        while process.poll() is None:
            if not tunnel.alive():
                tunnel = reopen_tunnel(tunnel, settings, address, token)
            show_news()
            time.sleep(1)
    finally:
        tunnel.close()
    if process.returncode:
        raise SetupError(f"The {server.title} ended with exit code {process.returncode}.\n{tail(settings)}")


def install(requirements: list[str] | tuple[str, ...]) -> None:
    """Install missing packages, and leave installed ones alone."""
    missing = [needed for needed in requirements if not _installed(needed)]
    if not missing:
        return
    print(f"Installing {', '.join(missing)} …", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    importlib.invalidate_caches()
    if done.returncode:
        raise SetupError(f"pip could not install {', '.join(missing)}:\n{(done.stderr or done.stdout).strip()}")


def _installed(requirement: str) -> bool:
    try:
        metadata.version(requirement.partition(">")[0])
    except metadata.PackageNotFoundError:
        return False
    return True


def kept_token(file: Path) -> str:
    """Return the token of the last run, so that the bridge's settings stay valid when the cell is run again."""
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def write_private(file: Path, text: str) -> None:
    """Write a file that no other user of the machine can read at any time."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


@contextlib.contextmanager
def running(settings: Settings, token: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the server as a separate process; yield it and its address."""
    state = settings.state
    server = SERVERS[settings.server]
    for name in FILES:
        clear_place(state / name)
    note = state / "server.json"
    replace_previous(note, kept_token(state / "token"))
    write_private(state / "token", token)
    # The secrets stay in this kernel; the server passes its environment on to the code that it runs.
    private = {"NGROK_TOKEN", "NGROK_DOMAIN", "SMART_COLAB_TOKEN", "JUPYTER_TOKEN"}
    environment = {name: value for name, value in os.environ.items() if name not in private}
    (state / "ready.json").unlink(missing_ok=True)
    with (state / "server.log").open("wb") as log:
        process = subprocess.Popen(
            server.command(settings),
            stdin=subprocess.PIPE,  # closes when this kernel ends in any way, and the server exits then
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=settings.root,
            env=environment | server.environment(settings),
            start_new_session=True,  # the stop button interrupts the kernel's process group: not the server
        )
    try:
        address = wait_ready(process, server, settings)
        note.write_text(json.dumps({"server": server.title, "url": address}), "utf-8")
        yield process, address
    finally:
        if process.stdin:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SEC)
        end(process)


def replace_previous(note: Path, token: str) -> None:
    """Shut down the server of an earlier run, if any; the output of its jobs stays on disk."""
    try:
        previous = json.loads(note.read_text("utf-8"))
        server, address = SERVERS[previous["server"]], previous["url"]
        note.unlink()
        request(address, token, server.shutdown, "POST")
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return  # there is none, or its port now belongs to another program
    print(f"Replacing the {server.title} of an earlier run …", flush=True)
    deadline = time.monotonic() + STOP_TIMEOUT_SEC
    with contextlib.suppress(OSError, http.client.HTTPException):  # no answer: it has ended
        while request(address, token, server.health):
            if time.monotonic() > deadline:
                raise SetupError(
                    f"The {server.title} of an earlier run does not stop. Choose Runtime > Restart session."
                )
            time.sleep(0.1)


def wait_ready(process: subprocess.Popen[bytes], server: Server, settings: Settings) -> str:
    """Wait until the server is ready; return its address."""
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while True:
        ended = process.poll() is not None
        with contextlib.suppress(OSError, ValueError):  # missing, or half written
            if address := server.address(settings):
                return address
        if ended or time.monotonic() > deadline:
            raise SetupError(f"The {server.title} did not start.\n{tail(settings)}")
        time.sleep(0.05)


def tail(settings: Settings) -> str:
    """Return the end of the server's log."""
    return "\n".join((settings.state / "server.log").read_text("utf-8", "replace").splitlines()[-15:])


def open_tunnel(settings: Settings, address: str) -> Tunnel:
    """Open the configured tunnel."""
    if settings.tunnel == "ngrok":
        return Ngrok(address, settings.ngrok_token, settings.ngrok_domain)
    if settings.tunnel == "cloudflare":
        return Cloudflare(address, find_cloudflared(settings.state / "bin"), settings.state / "cloudflared.log")
    return NoTunnel(address)


def reopen_tunnel(tunnel: Tunnel, settings: Settings, address: str, token: str) -> Tunnel:
    """Reopen the tunnel. The server and the code in it are not affected."""
    print("The tunnel closed; opening another …", flush=True)
    tunnel.close()
    try:
        tunnel = open_tunnel(settings, address)
    except SetupError as error:
        print(error, flush=True)
        time.sleep(TUNNEL_RETRY_DELAY_SEC)
    else:
        SERVERS[settings.server].announce(tunnel.url, token)
    return tunnel

"""The notebook's start cell: install, start the executor, open the tunnel, show running code, clean up.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..core.spoiled import clear_place
from ..guard.admission import parse_networks
from .live_log import LiveLog, request
from .tunnels import Cloudflare, Ngrok, NoTunnel, SetupError, Tunnel, end, find_cloudflared

# The dependencies in pyproject.toml; Colab lacks the last two.
NEEDED = (
    "flask>=3.0",
    "ipykernel>=6.17",
    "ipython>=7.34",
    "jupyter_client>=7.4",
    "psutil>=5.9",
    "pyzmq>=24",
    "nvidia-ml-py>=12",
    "waitress>=3.0",
)
NGROK = "ngrok>=1.4,<2"
# Files of the state folder that are read or written here.
FILES = ("token", "ready.json", "executor.log", "cloudflared.log")
TUNNELS = ("ngrok", "cloudflare", "none")

START_TIMEOUT_SEC = 60.0
STOP_TIMEOUT_SEC = 20.0
TUNNEL_RETRY_DELAY_SEC = 30.0


@dataclass(frozen=True)
class Settings:
    """The checked settings from the form, Colab's secrets and the environment."""

    tunnel: str
    port: int
    root: Path
    token: str = field(default="", repr=False)
    ngrok_token: str = field(default="", repr=False)
    ngrok_domain: str = ""
    allowed_ips: str = ""

    @property
    def state(self) -> Path:
        """The state folder, which outlives a run of the cell."""
        return self.root / ".smart_colab"


def start(tunnel: str = "ngrok", domain: str = "", root: Path | str = ".", allowed_ips: str = "") -> None:
    """Serve until the cell is stopped or the executor is shut down."""
    settings = read_settings(tunnel, domain, Path(root), secret, allowed_ips)
    install([*NEEDED, NGROK] if settings.tunnel == "ngrok" else NEEDED)
    settings.state.mkdir(parents=True, exist_ok=True)
    token = settings.token or kept_token(settings.state / "token") or secrets.token_urlsafe(32)
    with contextlib.suppress(KeyboardInterrupt), executor(settings, token) as (process, address):
        serve(settings, process, address, token)
    print("\nStopped: the executor and its tunnel are closed. Run this cell to start again.", flush=True)


def serve(settings: Settings, process: subprocess.Popen[bytes], address: str, token: str) -> None:
    """Keep the tunnel open and show running code, until the executor ends."""
    tunnel = open_tunnel(settings, address)
    log = LiveLog(address, token)
    try:
        if settings.allowed_ips:
            print(f"Only these addresses are served: {settings.allowed_ips}\n", flush=True)
        announce(tunnel.url, token)
        while process.poll() is None:
            if not tunnel.alive():
                tunnel = reopen_tunnel(tunnel, settings, address, token)
            log.show_news()
            time.sleep(1)
    finally:
        tunnel.close()
    if process.returncode:
        raise SetupError(f"The executor ended with exit code {process.returncode}.\n{tail(settings)}")


def read_settings(
    tunnel: str, domain: str, root: Path, secret: Callable[[str], str], allowed_ips: str = ""
) -> Settings:
    """Check the form. The environment overrides it, for unattended runs."""
    tunnel = os.environ.get("SMART_COLAB_TUNNEL", tunnel).strip().lower()
    if tunnel not in TUNNELS:
        raise SetupError(f"The tunnel must be one of {', '.join(TUNNELS)}, not {tunnel!r}.")
    port = os.environ.get("SMART_COLAB_NOTEBOOK_PORT", "0")
    if not port.isdecimal():
        raise SetupError(f"SMART_COLAB_NOTEBOOK_PORT must be a number, not {port!r}.")
    allowed_ips = os.environ.get("ALLOWED_IPS", "").strip() or allowed_ips.strip()
    try:
        parse_networks(allowed_ips)
    except ValueError as error:
        raise SetupError(f"ALLOWED_IPS: {error}") from error
    settings = Settings(tunnel, int(port), root.absolute(), token=secret("SMART_COLAB_TOKEN"), allowed_ips=allowed_ips)
    if tunnel != "ngrok":
        return settings
    ngrok_token = secret("NGROK_TOKEN")
    if not ngrok_token:
        raise SetupError(
            "ngrok needs your authtoken as the Colab Secret NGROK_TOKEN:\n"
            "  1. Copy it from https://dashboard.ngrok.com/get-started/your-authtoken\n"
            "  2. Click the key in Colab's left side bar, add the secret NGROK_TOKEN, and switch on 'Notebook access'\n"
            "  3. Run this cell again.\n"
            "Or choose the tunnel 'cloudflare' above, which needs no account."
        )
    domain = domain.strip() or secret("NGROK_DOMAIN")
    domain = domain.removeprefix("https://").rstrip("/")
    return replace(settings, ngrok_token=ngrok_token, ngrok_domain=domain)


def secret(name: str) -> str:
    """Return a secret from the environment or from Colab; empty if there is none."""
    if value := os.environ.get(name, "").strip():
        return value
    try:
        from google.colab import userdata
    except ImportError:
        return ""
    try:
        return str(userdata.get(name)).strip()
    except userdata.SecretNotFoundError:
        return ""
    except userdata.NotebookAccessError as error:
        raise SetupError(
            f"This notebook may not read your Colab Secret {name}.\n"
            f"Click the key in Colab's left side bar, switch on 'Notebook access' for {name}, and run this cell again."
        ) from error
    except userdata.TimeoutException:  # the browser page must answer, and it is not open
        return ""


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
def executor(settings: Settings, token: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the executor as a separate process; yield it and its address."""
    state = settings.state
    for name in FILES:
        clear_place(state / name)
    ready = state / "ready.json"
    replace_previous(ready, kept_token(state / "token"))
    write_private(state / "token", token)
    # -P: no file in the content root can shadow a module of Python.
    command = [sys.executable, "-P", "-m", "smart_colab_executor", "--exit-with-stdin"]
    command += ["--port", str(settings.port), "--root", str(settings.root), "--state", str(state)]
    command += ["--token-file", str(state / "token"), "--ready-file", str(ready)]
    command += ["--allow-ips", settings.allowed_ips]
    if settings.tunnel != "none":
        command += ["--behind", settings.tunnel]
    # The secrets stay in this kernel; the executor passes its environment on to the code that it runs.
    private = {"NGROK_TOKEN", "NGROK_DOMAIN", "SMART_COLAB_TOKEN"}
    environment = {name: value for name, value in os.environ.items() if name not in private}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[2]), environment.get("PYTHONPATH")])
    )
    with (state / "executor.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes when this kernel ends in any way, and the executor exits then
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=settings.root,
            env=environment,
            start_new_session=True,  # the stop button interrupts the kernel's process group: not the executor
        )
    try:
        yield process, wait_ready(process, ready, settings)["url"]
    finally:
        if process.stdin:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SEC)
        end(process)


def replace_previous(ready: Path, token: str) -> None:
    """Shut down the executor of an earlier run, if any; the output of its jobs stays on disk."""
    try:
        address = json.loads(ready.read_text("utf-8"))["url"]
        ready.unlink()
        request(address, token, "/shutdown", "POST")
    except (OSError, ValueError, http.client.HTTPException):
        return  # there is none, or its port now belongs to another program
    print("Replacing the executor of an earlier run …", flush=True)
    deadline = time.monotonic() + STOP_TIMEOUT_SEC
    with contextlib.suppress(OSError, http.client.HTTPException):  # no answer: it has ended
        while request(address, token, "/health"):
            if time.monotonic() > deadline:
                raise SetupError("The executor of an earlier run does not stop. Choose Runtime > Restart session.")
            time.sleep(0.1)


def wait_ready(process: subprocess.Popen[bytes], ready: Path, settings: Settings) -> dict[str, Any]:
    """Wait until the executor reports that it is ready; return the ready line."""
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while True:
        ended = process.poll() is not None
        with contextlib.suppress(OSError, ValueError):  # missing, or half written
            found: dict[str, Any] = json.loads(ready.read_text("utf-8"))
            return found
        if ended or time.monotonic() > deadline:
            raise SetupError(f"The executor did not start.\n{tail(settings)}")
        time.sleep(0.05)


def tail(settings: Settings) -> str:
    """Return the end of the executor's log."""
    return "\n".join((settings.state / "executor.log").read_text("utf-8", "replace").splitlines()[-15:])


def open_tunnel(settings: Settings, address: str) -> Tunnel:
    """Open the configured tunnel."""
    if settings.tunnel == "ngrok":
        return Ngrok(address, settings.ngrok_token, settings.ngrok_domain)
    if settings.tunnel == "cloudflare":
        return Cloudflare(address, find_cloudflared(settings.state / "bin"), settings.state / "cloudflared.log")
    return NoTunnel(address)


def reopen_tunnel(tunnel: Tunnel, settings: Settings, address: str, token: str) -> Tunnel:
    """Reopen the tunnel. The executor and the code in it are not affected."""
    print("The tunnel closed; opening another …", flush=True)
    tunnel.close()
    try:
        tunnel = open_tunnel(settings, address)
    except SetupError as error:
        print(error, flush=True)
        time.sleep(TUNNEL_RETRY_DELAY_SEC)
    else:
        announce(tunnel.url, token)
    return tunnel


def announce(url: str, token: str) -> None:
    """Print the line to copy, and the same in a client's configuration."""
    line = f"{url}#{token}"
    server = {"command": "smart-colab", "env": {"COLAB_URL": line}}
    config = json.dumps({"mcpServers": {"smart-colab": server}}, indent=2)
    print(f"The executor is up. Connect the bridge with this line:\n\n{line}\n")
    print(f"or with this configuration (Claude Desktop and others):\n\n{config}\n")
    print("Anyone with this line can run code on this machine. Stop this cell to stop the executor.\n")
    print("Running code:\n", flush=True)

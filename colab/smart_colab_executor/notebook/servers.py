"""What the start cell serves: the executor, or a Jupyter Server, in which the bridge starts the executor itself."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from . import tied
from .live_log import LiveLog
from .settings import Settings

# The dependencies in pyproject.toml, with those of `fast`; Colab lacks the last three.
NEEDED = (
    "flask>=3.0",
    "ipykernel>=6.17",
    "ipython>=7.34",
    "jupyter_client>=7.4",
    "psutil>=5.9",
    "pyzmq>=24",
    "nvidia-ml-py>=12",
    "waitress>=3.0",
    "blake3>=1.0",
)
CONNECT_TIMEOUT_SEC = 1.0


class Server(Protocol):
    """A server that the start cell runs as a process of its own, which ends with its stdin."""

    title: str
    # Requirements, for pip.
    needed: tuple[str, ...]
    # Routes that shut it down (POST) and that answer while it runs (GET).
    shutdown: str
    health: str

    def command(self, settings: Settings) -> list[str]:
        """Return the command line. The token is in the state folder's file, not here."""

    def environment(self, settings: Settings) -> dict[str, str]:
        """Return variables for the process."""

    def address(self, settings: Settings) -> str | None:
        """Return the address once it serves. Raises OSError, ValueError while it does not."""

    def announce(self, url: str, token: str) -> None:
        """Print how to connect."""

    def news(self, address: str, token: str) -> Callable[[], None]:
        """Return what prints news about the code that runs there."""


class Executor:
    """The executor, which the bridge speaks to."""

    title = "executor"
    needed: tuple[str, ...] = NEEDED
    shutdown = "/shutdown"
    health = "/health"

    def command(self, settings: Settings) -> list[str]:
        """Return the command line."""
        state = settings.state
        # -P: no file in the content root can shadow a module of Python.
        command = [sys.executable, "-P", "-m", "smart_colab_executor", "--exit-with-stdin"]
        command += ["--port", str(settings.port), "--root", str(settings.root), "--state", str(state)]
        command += ["--token-file", str(state / "token"), "--ready-file", str(state / "ready.json")]
        command += ["--allow-ips", settings.allowed_ips]
        return command if settings.tunnel == "none" else [*command, "--behind", settings.tunnel]

    def environment(self, settings: Settings) -> dict[str, str]:
        """Make this package importable."""
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
        return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def address(self, settings: Settings) -> str | None:
        """Read the ready file."""
        return str(json.loads((settings.state / "ready.json").read_text("utf-8"))["url"])

    def announce(self, url: str, token: str) -> None:
        """Print the line to copy."""
        _announce(self.title, f"{url}#{token}")

    def news(self, address: str, token: str) -> Callable[[], None]:
        """Show running code."""
        print("Running code:\n", flush=True)
        return LiveLog(address, token).show_news


class JupyterServer:
    """A Jupyter Server, for the bridge and for JupyterLab on the user's computer."""

    title = "Jupyter Server"
    needed: tuple[str, ...] = ("jupyter_server>=2.0", "ipykernel>=6.17")
    shutdown = "/api/shutdown"
    health = "/api/status"

    def command(self, settings: Settings) -> list[str]:
        """Return the command line."""
        options = {
            "ip": "127.0.0.1",
            "port": settings.port,
            "port_retries": 0,
            "root_dir": settings.root,
            "open_browser": False,
            # Behind a tunnel, requests name the tunnel's host. The token is required all the same.
            "allow_remote_access": True,
            # Colab's only user is root.
            "allow_root": True,
        }
        given = [f"--ServerApp.{name}={value}" for name, value in options.items()]
        return [sys.executable, "-P", str(Path(tied.__file__)), sys.executable, "-P", "-m", "jupyter_server", *given]

    def environment(self, settings: Settings) -> dict[str, str]:
        """Name the token's file and a runtime folder of its own, where it writes its address."""
        runtime = settings.state / "jupyter"
        runtime.mkdir(mode=0o700, exist_ok=True)
        for old in runtime.glob("jpserver-*"):
            old.unlink()
        return {"JUPYTER_TOKEN_FILE": str(settings.state / "token"), "JUPYTER_RUNTIME_DIR": str(runtime)}

    def address(self, settings: Settings) -> str | None:
        """Read the runtime file; it is written before the server listens."""
        for file in (settings.state / "jupyter").glob("jpserver-*.json"):
            found = json.loads(file.read_text("utf-8"))
            socket.create_connection((found["hostname"], found["port"]), CONNECT_TIMEOUT_SEC).close()
            return str(found["url"]).rstrip("/")
        return None

    def announce(self, url: str, token: str) -> None:
        """Print the line to copy, and JupyterLab's."""
        _announce(self.title, f"jupyter+{url}/?token={token}")
        print("For JupyterLab on your computer, with its kernels here (its files stay on your computer):\n")
        print(f"jupyter lab --gateway-url={url} --GatewayClient.auth_token={token}\n", flush=True)

    def news(self, address: str, token: str) -> Callable[[], None]:
        """Show nothing: code runs in kernels, and the bridge and JupyterLab show it."""
        return lambda: None


SERVERS: dict[str, Server] = {server.title: server for server in (Executor(), JupyterServer())}


def _announce(title: str, line: str) -> None:
    server = {"command": "smart-colab", "env": {"COLAB_URL": line}}
    config = json.dumps({"mcpServers": {"smart-colab": server}}, indent=2)
    print(f"The {title} is up. Connect the bridge with this line:\n\n{line}\n")
    print(f"or with this configuration (Claude Desktop and others):\n\n{config}\n")
    print(f"Anyone with this line can run code on this machine. Stop this cell to stop the {title}.\n", flush=True)

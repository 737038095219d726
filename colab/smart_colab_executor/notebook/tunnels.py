"""Tunnels from the internet to the executor: ngrok, Cloudflare, or none.

Standard library only, since the notebook imports this before anything is installed.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

CLOUDFLARED = "https://github.com/cloudflare/cloudflared/releases/latest/download/cloudflared-linux-{machine}"
CLOUDFLARED_TIMEOUT_SEC = 45.0

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
# api.trycloudflare.com appears in cloudflared's error messages: it is not a tunnel.
_ADDRESS = re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com")
_NGROK_HINTS = {
    "ERR_NGROK_105": "NGROK_TOKEN is not valid. Copy it from https://dashboard.ngrok.com/get-started/your-authtoken.",
    "ERR_NGROK_107": "This authtoken was revoked. Make a new one at https://dashboard.ngrok.com/authtokens.",
    "ERR_NGROK_108": "Your plan allows no further agent: stop the notebook that still runs elsewhere.",
    "ERR_NGROK_334": "This domain is in use: stop the notebook that still runs with it.",
}


class SetupError(Exception):
    """An error that the notebook's user can fix; shown without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython calls this
        return [f"\n{self}\n"]


class Tunnel(Protocol):
    """An open tunnel."""

    url: str

    def alive(self) -> bool:
        """Return whether the tunnel is still open."""

    def close(self) -> None:
        """Close the tunnel."""


class NoTunnel:
    """The executor's own address, for a bridge on this machine or a tunnel of the user's own."""

    def __init__(self, address: str) -> None:
        self.url = address

    def alive(self) -> bool:
        """Return True: the address is valid as long as the executor runs."""
        return True

    def close(self) -> None:
        """Do nothing."""


class Ngrok:
    """A tunnel of ngrok's Python package, which reconnects by itself."""

    def __init__(self, address: str, authtoken: str, domain: str) -> None:
        import ngrok  # installed only if this tunnel is chosen

        self._ngrok = ngrok
        options: dict[str, object] = {"domain": domain} if domain else {}
        try:
            listener = _in_thread(lambda: ngrok.forward(addr=address, authtoken=authtoken, **options))
        except Exception as error:
            self.close()
            said = " ".join(str(part) for part in error.args)
            hint = next((hint for code, hint in _NGROK_HINTS.items() if re.search(rf"{code}\b", said)), "")
            raise SetupError(f"ngrok did not open the tunnel. {hint}\nngrok reports: {said}") from error
        self.url: str = listener.url()

    def alive(self) -> bool:
        """Return True: ngrok reconnects by itself."""
        return True

    def close(self) -> None:
        """Close the address and ngrok's session, which counts against the plan and remembers an old authtoken."""
        _in_thread(self._ngrok.kill)


class Cloudflare:
    """A quick tunnel of Cloudflare: no account, and a new address at every start."""

    def __init__(self, address: str, program: str, log: Path) -> None:
        # It stays in the kernel's process group, so that it ends with the kernel and with the cell.
        with log.open("wb") as output:  # a file, since nothing would read a pipe
            self._process = subprocess.Popen(
                [program, "tunnel", "--no-autoupdate", "--url", address],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self.url = self._wait(log)
        except BaseException:
            self.close()
            raise

    def _wait(self, log: Path) -> str:
        """Wait for the address and, since it is announced earlier, until it works; return it."""
        deadline = time.monotonic() + CLOUDFLARED_TIMEOUT_SEC
        while True:
            ended = not self.alive()
            said = log.read_text("utf-8", "replace")
            found = _ADDRESS.search(said)
            if found and "Registered tunnel connection" in said:
                return found[0]
            if ended or time.monotonic() > deadline:
                last = "\n".join(said.splitlines()[-8:])
                raise SetupError(f"cloudflared did not open the tunnel; run this cell again in a minute.\n{last}")
            time.sleep(0.1)

    def alive(self) -> bool:
        """Return whether cloudflared is still running."""
        return self._process.poll() is None

    def close(self) -> None:
        """End cloudflared."""
        end(self._process)


def find_cloudflared(folder: Path, source: str = CLOUDFLARED, say: Callable[[str], None] = print) -> str:
    """Find cloudflared on the PATH or in `folder`, else download Cloudflare's own build to `folder`."""
    program = folder / "cloudflared"
    found = shutil.which("cloudflared") or shutil.which(str(program))
    if found:
        return found
    machine = _MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        raise SetupError(
            "cloudflared is not installed: https://github.com/cloudflare/cloudflared#installing-cloudflared"
        )
    source = source.format(machine=machine)
    say(f"Downloading cloudflared from {source}")
    folder.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(".partial")
    try:
        with urllib.request.urlopen(source, timeout=60) as reply, partial.open("wb") as file:  # noqa: S310 - https
            shutil.copyfileobj(reply, file)
            missing = int(reply.headers["Content-Length"] or file.tell()) - file.tell()
    except OSError as error:
        raise SetupError(f"cloudflared could not be downloaded from {source}: {error}") from error
    if missing:
        raise SetupError(f"The download of cloudflared from {source} was cut short. Run this cell again.")
    partial.chmod(0o755)
    partial.replace(program)
    return str(program)


def end(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """Terminate a process; kill it if it does not end in time."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _in_thread(call: Callable[[], T]) -> T:
    """Call in a thread without an event loop: in a notebook one runs, and ngrok would return a promise."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]

"""Find or start the executor of a Jupyter server; the relay runs this file's text, from the unpacked package.

One folder for a server holds its executor's token, ready file, log and state. Only the standard library is imported
before it is known what there is.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from importlib import util
from pathlib import Path
from typing import Any

IDLE_EXIT_SEC = 86_400
START_TIMEOUT_SEC = 60.0
REQUEST_TIMEOUT_SEC = 5.0
POLL_INTERVAL_SEC = 0.05
TOKEN_CHARS = 43
MAX_ERROR_CHARS = 2000
# After its last write a package may still wait for its first executor.
STARTS_WITHIN_SEC = 3600.0
# For the executors of another machine, which cannot be seen from here.
FORGET_HOST_SEC = 30 * 86_400.0
# Brought by every ipykernel that the executor supports, and not in the package because parts of them are compiled.
NEEDED = ("psutil", "zmq", "jupyter_client", "ipykernel", "IPython")
SETTINGS_OF_OTHERS = ("SMART_COLAB_", "ALLOWED_IPS", "JPY_")


class StartFailed(Exception):
    """The executor did not start; the message says why."""

    code = "start_failed"


class CannotRun(StartFailed):
    """No executor can run in this Python, whatever is tried again."""

    code = "unsupported"


class Running:
    """An executor as its ready file describes it."""

    def __init__(self, folder: Path, ready: dict[str, Any]) -> None:
        self.boot_id = str(ready["boot_id"])
        self.pid = int(ready["pid"])
        self.port = int(ready["url"].rpartition(":")[2])
        self.api: str | None = None
        self._folder = folder

    def is_alive(self) -> bool:
        """Ask, without the token, whether it still is what listens at its port."""
        try:
            reply, _ = self._ask("GET", "/health", {})
        except (OSError, http.client.HTTPException):
            return False
        self.api = reply.getheader("X-Smart-Colab-Api")
        return reply.getheader("X-Boot-Id") == self.boot_id

    def may_be_replaced(self, package: Path, api: int | None) -> bool:
        """Return whether a newer package may take its place: no job and no variables are in it."""
        import psutil

        with suppress(psutil.Error):
            if any(package.name in part for part in psutil.Process(self.pid).cmdline()):
                return False
        reply, body = self._ask("GET", "/sessions", self._authorization())
        if reply.status != http.client.OK:
            return False
        sessions = json.loads(body)["sessions"]
        if any(session["running_job"] or session["queued_jobs"] for session in sessions):
            return False
        return str(api or self.api) != self.api or not any(session["execution_count"] for session in sessions)

    def is_of(self, pid: int) -> bool:
        """Return whether it is this process or, as with Windows' launcher of Python, was started by it."""
        import psutil

        with suppress(psutil.Error):
            return self.pid == pid or any(parent.pid == pid for parent in psutil.Process(self.pid).parents())
        return False

    def stop(self) -> None:
        """Ask it to end. Raises OSError, HTTPException."""
        self._ask("POST", "/shutdown", self._authorization())

    def describe(self, *, is_new: bool) -> dict[str, Any]:
        """Return the reply to the relay."""
        token = read_token(self._folder)
        found = {"port": self.port, "boot_id": self.boot_id, "is_new": is_new, "state": str(self._folder)}
        return {**found, "token": token}

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {read_token(self._folder)}"}

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_SEC)) as connection:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return reply, reply.read()


def start(package: Path, cache: Path, root: str, api: int | None) -> dict[str, Any]:
    """Return the port, boot id and token of this server's executor. Raises StartFailed, OSError."""
    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if missing:
        raise CannotRun(f"The kernel's Python ({sys.executable}) lacks {', '.join(missing)}.")
    folder = server_folder(cache, root)
    found, earlier = find(folder), None
    if found is not None:
        if not found.may_be_replaced(package, api):
            return found.describe(is_new=False)
        found.stop()
        earlier = found.boot_id
    process = launch(package, folder, root)
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while time.monotonic() < deadline:
        has_ended = process.poll() is not None
        found = find(folder)
        if found is not None and found.boot_id != earlier:
            is_new = found.is_of(process.pid)
            if not is_new:
                process.kill()  # it waits for the state of the one that another helper started
            with suppress(OSError):
                remove_unused(package)
            return found.describe(is_new=is_new)
        if has_ended:
            raise StartFailed(f"The executor ended with code {process.returncode}: {last_words(folder)}")
        time.sleep(POLL_INTERVAL_SEC)
    process.kill()
    raise StartFailed(f"The executor was not ready within {START_TIMEOUT_SEC:.0f} s.")


def remove_unused(package: Path) -> None:
    """Remove what lies beside a package and no executor uses any more. Raises OSError."""
    import psutil

    uses = package / "hosts" / socket.gethostname()
    uses.parent.mkdir(exist_ok=True)
    uses.touch()
    others = [other for other in package.parent.iterdir() if other != package]
    if not others:
        return
    running = [
        part
        for process in psutil.process_iter(["cmdline"])
        for part in process.info["cmdline"] or ()
        if str(package.parent) in part
    ]
    for other in others:
        if _may_be_used(other) or any(other.name in part for part in running):
            continue
        # As a whole or, where files of it are open on Windows, not at all.
        with suppress(OSError):
            shutil.rmtree(other.rename(package.parent / f"partial-{secrets.token_hex(8)}"))


def _may_be_used(package: Path) -> bool:
    """Return whether an executor of it may be about to start, or may run on another machine with the same home."""
    now = time.time()
    try:
        if now - package.stat().st_mtime < STARTS_WITHIN_SEC:
            return True
        elsewhere = [host for host in package.glob("hosts/*") if host.name != socket.gethostname()]
        return any(now - host.stat().st_mtime < FORGET_HOST_SEC for host in elsewhere)
    except OSError:
        return False


def server_folder(cache: Path, root: str) -> Path:
    """Return the folder of the server with this content root. Raises OSError."""
    # Several machines may share a home folder.
    key = hashlib.sha256(os.fsencode(f"{root}\n{socket.gethostname()}")).hexdigest()[:16]
    folder = cache / "servers" / key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def find(folder: Path) -> Running | None:
    """Return the executor that the ready file describes, if it runs."""
    try:
        running = Running(folder, json.loads((folder / "ready.json").read_text("utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return running if running.is_alive() else None


def read_token(folder: Path) -> str:
    """Return the token of the folder's executors, made by the first helper that asks. Raises OSError."""
    path = folder / "token"
    for _ in range(40):
        with (
            suppress(FileExistsError),
            os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
        ):
            file.write(secrets.token_urlsafe(32))
        token = path.read_text("ascii")
        if len(token) == TOKEN_CHARS:
            return token
        time.sleep(POLL_INTERVAL_SEC)  # another helper is writing it
    path.unlink()  # that one has ended
    return read_token(folder)


def launch(package: Path, folder: Path, root: str) -> subprocess.Popen[bytes]:
    """Start an executor that outlives this kernel. Raises OSError."""
    read_token(folder)
    options = {
        "--host": "127.0.0.1",
        "--port": 0,
        "--root": root,
        "--state": folder / "state",
        "--token-file": folder / "token",
        "--ready-file": folder / "ready.json",
        "--idle-exit-sec": IDLE_EXIT_SEC,
        "--exit-with-pid": server_pid(),
        "--adopt-from": connections_folder(),
    }
    launcher = package / "smart_colab_executor" / "relay" / "launch.py"
    command = [sys.executable, str(launcher), str(folder / "log")]
    for name, value in options.items():
        command += [name, str(value)] if value is not None else []
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_OTHERS)}
    with os.fdopen(os.open(folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=root, env=environment, **apart
        )
    # Else it would be a zombie from its end to that of this kernel.
    threading.Thread(target=process.wait, name="smart-colab executor", daemon=True).start()
    return process


def last_words(folder: Path) -> str:
    """Return what an executor said at its end."""
    for name in ("errors", "log"):
        with suppress(OSError):
            # Without the usage that precedes the error of an option.
            said = (folder / name).read_text("utf-8", "replace").rpartition("smart_colab_executor: error: ")[2].strip()
            if said:
                return said[-MAX_ERROR_CHARS:]
    return "it said nothing"


def server_pid() -> int | None:
    """Return the Jupyter server's process; None where it cannot be seen from here, as in a container of its own."""
    import psutil

    with suppress(psutil.Error, ValueError):
        parents = psutil.Process().parents()
        if sys.platform == "win32":  # JPY_PARENT_PID is a handle there, and the next parent may be a launcher of Python
            return next((one.pid for one in parents if not any("ipykernel" in part for part in one.cmdline())), None)
        named = int(os.environ.get("JPY_PARENT_PID", ""))
        return named if any(one.pid == named for one in parents) else None
    return None


def connections_folder() -> Path | None:
    """Return where the Jupyter server keeps its kernels' connection files: this kernel's is one of them."""
    from ipykernel.connect import get_connection_file

    with suppress(RuntimeError):  # not in a kernel
        return Path(get_connection_file()).parent
    return None

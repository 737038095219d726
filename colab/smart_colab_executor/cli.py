"""The command line: read settings, serve, shut down cleanly."""

from __future__ import annotations

import argparse
import errno
import itertools
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from . import __version__
from .core import spoiled
from .files.partials import remove_leftovers
from .guard.admission import TUNNEL_HEADERS, Admission, Network, parse_networks
from .guard.audit import Audit
from .guard.places import Places
from .guard.policy import Guard, parse_policy
from .guard.token import Token
from .jobs import history
from .jobs.job import Job
from .jobs.neighbours import Neighbours
from .jobs.store import JobStore
from .kernels.fork_server import ForkServer
from .kernels.fork_server_start import Started
from .kernels.leftovers import KernelNotes, last_words
from .kernels.loop_thread import LoopThread
from .kernels.workspace import Workspace
from .machine import state_lock
from .machine.endings import Endings
from .machine.presence import Presence
from .sessions.registry import Sessions

TOKEN_VARIABLE = "SMART_COLAB_TOKEN"  # noqa: S105 - a name, not a token
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ADDRESSES_VARIABLE = "ALLOWED_IPS"
POLICY_VARIABLE = "SMART_COLAB_POLICY"
REMOVAL_INTERVAL_SEC = 60
MAX_PORT = 65535
MIN_TOKEN_CHARS = 22
ADDRESS_REMEDY = "give an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for its network"
LISTENING_REMEDIES = {
    errno.EADDRINUSE: "another program listens there: choose another --port, or 0 for a free one",
    errno.EADDRNOTAVAIL: ADDRESS_REMEDY,
    errno.EACCES: "choose a --port from 1024 on",
}


def main(arguments: Sequence[str] | None = None, fork_server: Started | None = None) -> int:
    """Serve until asked to stop; return the exit code. Kernels are forked from `fork_server`, if there is one."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        secret, is_made = _secret(options)
        allowed = _allowed(options)
        levels = parse_policy(os.environ.get(POLICY_VARIABLE, "") if options.policy is None else options.policy)
        _check_host(options.host)
        _check_ready_file(options.ready_file)
        admission = Admission(Token(secret), allowed, options.behind)
        endings = Endings(options.idle_exit_sec, options.exit_with_pid)
    except ValueError as error:
        parser.error(str(error))
    root = options.root.resolve()
    if not root.is_dir():
        parser.error(f"--root {root} is not a folder: create it, or name another")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # says only that requests wait for a thread
    if allowed and not options.behind and options.host in LOOPBACK:
        logging.getLogger(__name__).warning(
            "--allow-ips has no effect: at %s only this machine can connect, and a tunnel's traffic comes from it too. "
            "Name the tunnel with --behind.",
            options.host,
        )
    if len(secret) < MIN_TOKEN_CHARS:
        logging.getLogger(__name__).warning(
            "a token of fewer than %d random characters can be guessed", MIN_TOKEN_CHARS
        )
    stop = threading.Event()
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())
    if options.exit_with_stdin:
        threading.Thread(target=_wait_for_end_of_stdin, args=(stop,), name="stdin", daemon=True).start()
    boot_id = str(uuid.uuid4())
    state = (options.state or root / ".smart_colab").resolve()
    audit = Audit(state)
    neighbours = Neighbours(state) if options.neighbours else None
    jobs = JobStore(state / "jobs", boot_id, lambda job: _note_end(audit, job), neighbours)
    notes = KernelNotes(state / "kernels")
    try:
        spoiled.check_layout(state)
        lock = state_lock.take(state)
        # Before the jobs are read back: leftover kernels would keep writing.
        with last_words(notes) as unread:
            jobs.boots = history.note_boot(state, boot_id)
            remove_leftovers(state / "uploads", at_start=True)
            jobs.load(unread)
    except BlockingIOError as error:
        parser.error(f"--state {state}: {error.strerror}; name another folder, or stop that executor first")
    except OSError as error:
        parser.error(f"--state {state}: {error.strerror}; name a folder in which files can be created")
    with lock, closing(jobs), LoopThread() as thread:
        adopt_from = [*options.adopt_from, Path(jupyter_runtime_dir())]
        forks = ForkServer(fork_server) if fork_server else None
        sessions = Sessions(Workspace(root), thread, notes, adopt_from, forks)
        sessions.open()
        # While the first kernel starts: Flask takes as long.
        from .app import create_app
        from .http.context import Config
        from .http.server import CannotListen, serving

        guard = Guard(levels, Places(root), audit)
        config = Config(admission, audit, guard, root, state, jobs, sessions, boot_id, stop, endings)
        try:
            with serving(create_app(config), options.host, options.port, state) as url:
                ready = {"url": url, "boot_id": boot_id, "version": __version__, "pid": os.getpid()}
                ready |= {"token": secret} if is_made else {}
                presence = Presence(ready, options.ready_file, secret, options.token_file)
                presence.announce()
                _greet(url, secret if is_made else "YOUR_TOKEN")
                # With a timeout, because Windows cannot interrupt a wait without one.
                for second in itertools.count(1):
                    if stop.wait(1.0):
                        break
                    if second % REMOVAL_INTERVAL_SEC == 0:
                        _remove_old(jobs)
                        remove_leftovers(state / "uploads", at_start=False)
                    sessions.restore_records()
                    spoiled.clear_places(state)
                    lock.restore_folder()
                    with suppress(OSError):  # tried again
                        presence.restore()
                    reason = endings.reason(is_busy=jobs.has_unfinished())
                    if reason is not None:
                        logging.getLogger(__name__).info("the executor ends: %s", reason)
                        stop.set()
                # While it still serves, so that requests that wait for a job receive its end.
                sessions.close()
        except CannotListen as error:
            sessions.close()
            remedy = LISTENING_REMEDIES.get(error.errno or 0, "choose another --host or --port")
            parser.error(f"cannot listen at {options.host}, port {options.port}: {error.strerror}; {remedy}")
        except OSError as error:
            logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - it needs no traceback
            sessions.close()
            return 1
    return 0


def _remove_old(jobs: JobStore) -> None:
    try:
        jobs.remove_old()
    except OSError as error:  # tried again
        logging.getLogger(__name__).warning("old jobs cannot be removed: %s", error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("smart_colab_executor", description="Runs code in Jupyter kernels, over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=5001, help="0 takes a free one")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="where code and relative paths start")
    parser.add_argument("--state", type=Path, help="where to keep jobs (default: ROOT/.smart_colab)")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token", help=f"or ${TOKEN_VARIABLE}; without one, a token is generated")
    token.add_argument("--token-file", type=Path)
    parser.add_argument("--allow-ips", help=f"serve only these addresses and networks; or ${ADDRESSES_VARIABLE}")
    parser.add_argument("--behind", choices=sorted(TUNNEL_HEADERS), help="the tunnel whose header names the client")
    parser.add_argument("--ready-file", type=Path, help="where to write the ready line")
    parser.add_argument("--exit-with-stdin", action="store_true", help="exit when stdin closes")
    parser.add_argument("--exit-with-pid", type=int, metavar="PID", help="exit when this process has ended")
    parser.add_argument(
        "--idle-exit-sec", type=float, metavar="SEC", help="exit after this time without a request and without a job"
    )
    parser.add_argument(
        "--adopt-from", type=Path, action="append", default=[], metavar="DIR",
        help="where Jupyter keeps its kernels' connection files, beside its usual folder",
    )  # fmt: skip
    parser.add_argument(
        "--policy", help=f"for risky calls in code: off (the default), warn, confirm, deny; or ${POLICY_VARIABLE}"
    )
    parser.add_argument("--neighbours", action="store_true", help="take over jobs from numbered states beside this one")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number up to {MAX_PORT}; 0 takes a free one")
    return int(text)


def _check_host(host: str) -> None:
    """Raise ValueError for a host that cannot be resolved."""
    try:
        if not host:
            raise OSError(errno.EINVAL, "it is empty")  # noqa: TRY301 - handled like an unknown name
        socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a valid name"
        raise ValueError(f"--host {host}: {reason}; {ADDRESS_REMEDY}") from error


def _check_ready_file(path: Path | None) -> None:
    """Raise ValueError for a path at which no file can be created."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ValueError(f"--ready-file {path}: name a file in an existing folder")


def _secret(options: argparse.Namespace) -> tuple[str, bool]:
    """Return the token, and whether it was generated here. Raises ValueError."""
    source, given = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE)
    if options.token is not None:
        source, given = "--token", options.token
    elif options.token_file is not None:
        source = f"--token-file {options.token_file}"
        try:
            given = options.token_file.read_text("utf-8").strip()
        except OSError as error:
            raise ValueError(f"{source}: {error.strerror}; name a file that holds the token") from error
        except UnicodeError as error:
            raise ValueError(f"{source} is not text; name a file that holds the token") from error
    if given is None:
        return secrets.token_urlsafe(32), True
    try:
        Token(given)
    except ValueError as error:
        raise ValueError(f"{source}: {error}; without a token, one is generated") from error
    return given, False


def _allowed(options: argparse.Namespace) -> list[Network]:
    """Return the networks to serve, empty for all. Raises ValueError."""
    if options.allow_ips is not None:
        source, text = "--allow-ips", options.allow_ips
    else:
        source, text = f"${ADDRESSES_VARIABLE}", os.environ.get(ADDRESSES_VARIABLE, "")
    try:
        return parse_networks(text)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _note_end(audit: Audit, job: Job) -> None:
    record = job.record
    audit.job(
        id=record.id,
        session=job.request.session,
        address=record.address,
        state=record.state,
        reason=record.reason,
        execution_time_sec=record.execution_time_sec,
    )


def _greet(url: str, secret: str) -> None:
    """Print the next step in a terminal; programs read only the line on stdout, and no log receives the token."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        print(
            f"\nThe executor is up. Connect the bridge with this line, or open it in a browser:\n\n{url}#{secret}\n\n"
            "Anyone with this line can run code on this machine. Ctrl-C stops the executor and the code that it runs.",
            file=sys.stderr,
            flush=True,
        )


def _wait_for_end_of_stdin(stop: threading.Event) -> None:
    try:
        # Not sys.stdin: its lock, held by a waiting thread, makes Python abort at exit.
        while os.read(sys.stdin.fileno(), 4096):
            pass
    finally:
        stop.set()

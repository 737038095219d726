"""Finds or starts the cluster that a loop is to run on, and closes what it started.

Runs in the kernel, as `_smart_colab.clusters`. It needs the user's `distributed`, which is imported here only.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import importlib.util
import logging
import os
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = "local"
# Workers for each processor above which a local cluster is remarked on.
MANY_WORKERS = 4
# By the environment's DASK_SCHEDULER_ADDRESS, or else local.
ANY = "dask"
ADDRESS_VARIABLE = "DASK_SCHEDULER_ADDRESS"
TLS_VARIABLE = "DASK_DISTRIBUTED__COMM__TLS__"
# As the bridge checks it, too.
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx|inproc)://[!-~]{1,500}")
CONNECT_TIMEOUT_SEC = 10
# For what listens to say that it is a scheduler.
ANSWER_TIMEOUT_SEC = 3
CLOSE_TIMEOUT_SEC = 5


class ClusterError(Exception):
    """The cluster, not the user's code, keeps a loop from running."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class NoSuchCluster(ClusterError):
    """The name is that of no cluster: it must be another one."""


class Cluster:
    """A client of a cluster, and the cluster itself where this process started it."""

    def __init__(self, client: Any, *, own: tuple[Any, ...] = (), folder: str | None = None) -> None:
        self.client = client
        # Whether its workers are child processes of this one.
        self.is_own = folder is not None
        self._own = own
        self._folder = folder

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(getattr(self.client.scheduler, "address", "an unknown address"))

    @cached_property
    def dashboard(self) -> str | None:
        """The address of the dashboard, as seen from the runtime; it takes a request to the scheduler."""
        with suppress(Exception):
            return str(self.client.dashboard_link) or None
        return None

    def close(self) -> None:
        """Close what this process opened: never the user's own client or cluster."""
        for one in self._own:
            with suppress(Exception):
                one.close(timeout=CLOSE_TIMEOUT_SEC)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def open_cluster(name: str, variables: Mapping[str, Any]) -> Cluster:
    """Return the cluster of this name. Raises ClusterError, ModuleNotFoundError.

    `local` or `local:WORKERS`; `dask`; an address; or one of the `variables`: a client, or a cluster that has one.
    """
    if not importlib.util.find_spec("distributed"):
        raise ModuleNotFoundError(
            "there is no package distributed in the session's Python, which a cluster needs: %pip install distributed",
            name="distributed",
        )
    if name == ANY:
        name = _address_of_environment() or LOCAL
    kind, _, rest = name.partition(":")
    if kind == LOCAL:
        return _start(int(rest) if rest else None)
    if rest.startswith("//"):
        return _connect(name)
    return _named(name, variables)


def crowding(name: str) -> str | None:
    """Return what to say of a local cluster with far more workers than there are processors."""
    kind, _, workers = name.partition(":")
    if kind != LOCAL or not workers or not importlib.util.find_spec("distributed"):
        return None
    processors = importlib.import_module("dask.system").CPU_COUNT
    if int(workers) <= MANY_WORKERS * processors:
        return None
    return (
        f"{name} starts {workers} processes on {processors} processors: that takes memory and time, and is no faster; "
        "`local` starts one for each"
    )


def _address_of_environment() -> str | None:
    given = os.environ.get(ADDRESS_VARIABLE, "").strip()
    if given and "://" not in given:
        # HOST:PORT, as distributed reads it.
        given = importlib.import_module("distributed.comm").normalize_address(given)
    if given and not ADDRESS.fullmatch(given):
        dashboard = "; one that begins with http is its dashboard's" if given.lower().startswith("http") else ""
        raise NoSuchCluster(
            f"{ADDRESS_VARIABLE} in the session's environment is none: a scheduler's address begins with tcp:// or "
            f"tls://{dashboard}. Set or delete it there (%env), or name the cluster"
        )
    return given


def _distributed() -> Any:
    return importlib.import_module("distributed")


def _start(workers: int | None) -> Cluster:
    dask, distributed = importlib.import_module("dask.system"), _distributed()
    folder = tempfile.mkdtemp(prefix="smart-colab-dask-")
    # Other users of this machine must not reach what runs code here.
    cluster: Any = None
    security = True if importlib.util.find_spec("cryptography") else None
    try:
        cluster = distributed.LocalCluster(
            n_workers=workers or dask.CPU_COUNT,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
            security=security,
            # One that ends its worker again is tried alone then.
            scheduler_kwargs={"allowed_failures": 1},
            # Those of workers that are told to end; of others the loop reports.
            silence_logs=logging.CRITICAL,
        )
        client = _distributed().Client(cluster, set_as_default=False)
    except BaseException as error:
        Cluster(None, own=(cluster,) if cluster else (), folder=folder).close()
        if not isinstance(error, Exception):
            raise
        raise ClusterError(f"no cluster could be started on the runtime: {_said(error)}") from error
    return Cluster(client, own=(client, cluster), folder=folder)


def _connect(address: str) -> Cluster:
    version = None
    try:
        version = _version_at(address)
        client = _distributed().Client(address, timeout=CONNECT_TIMEOUT_SEC, set_as_default=False)
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError):
            raise NoSuchCluster(f"{address} is no scheduler's address, such as tcp://host:8786: {error}") from error
        why = _why(address, error)
        if version not in (None, here := _distributed().__version__):
            why += (
                f". The scheduler has distributed {version}, and the session {here}: both need the same "
                f"(%pip install distributed=={version}, then restart the session)"
            )
        raise ClusterError(
            f"no scheduler could be reached at {address} (tried for up to {CONNECT_TIMEOUT_SEC} s): {why}"
        ) from error
    return Cluster(client, own=(client,))


def _version_at(address: str) -> str | None:
    """Ask a scheduler for its version of distributed.

    It keeps to the time limit whatever listens there, which a client does not.
    """
    core, comm, security = map(
        importlib.import_module, ("distributed.core", "distributed.comm", "distributed.security")
    )

    async def ask() -> Any:
        connection = await comm.connect(
            address, CONNECT_TIMEOUT_SEC, **security.Security().get_connection_args("client")
        )
        try:
            return await core.send_recv(connection, op="versions", packages={})
        finally:
            connection.abort()

    async def ask_in_time() -> Any:
        return await asyncio.wait_for(ask(), CONNECT_TIMEOUT_SEC + ANSWER_TIMEOUT_SEC)

    # The session's own event loop runs in this thread.
    with ThreadPoolExecutor(1) as thread:
        versions = thread.submit(lambda: asyncio.run(ask_in_time())).result()
    return (versions.get("packages") or {}).get("distributed")


def _why(address: str, error: BaseException) -> str:
    """Say why there is no connection, in words for what distributed has none for."""
    if isinstance(error, MemoryError):
        # Of other servers' replies, distributed believes the first bytes to be the length of a message.
        return "what listens there is no scheduler"
    if isinstance(error, TimeoutError):
        return "what listens there does not answer as a scheduler"
    if address.startswith(("tls", "wss")) or isinstance(error, FileNotFoundError):
        return _tls_fault() or f"{_said(error)} See {TLS_VARIABLE}… in the session's environment"
    if type(error).__name__ == "CommClosedError":
        return f"{_said(error)}. Perhaps it speaks TLS: tls://…"
    return _said(error)


def _tls_fault() -> str | None:
    """Say which file of distributed's configuration is missing."""
    config = importlib.import_module("dask").config
    for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"):
        # A key from the environment has `_` where others have `-`: only `get` takes both.
        file = config.get("distributed.comm.tls." + name.lower().replace("__", "."), None)
        if not file and name != "CLIENT__KEY":
            what = f"TLS needs {TLS_VARIABLE}{name}"
        elif file and "\n" not in file and not Path(file).is_file():
            what = f"the file of {TLS_VARIABLE}{name} is not there: {file}"
        else:
            continue
        return f"{what}. Set it (%env), then run `import dask; dask.config.refresh()`, since that is read once"
    return None


def _named(name: str, variables: Mapping[str, Any]) -> Cluster:
    if name not in variables:
        near = difflib.get_close_matches(name.lower(), (LOCAL, ANY), 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise NoSuchCluster(
            f"there is no variable `{name}` in the session{meant}: let setup_code make the cluster, below "
            'if __name__ == "__main__": since it runs on the workers, too'
        )
    value = variables[name]
    if getattr(value, "asynchronous", False):
        raise ClusterError(f"`{name}` is asynchronous: let setup_code make it without asynchronous=True")
    if isinstance(value, _distributed().Client):
        return Cluster(value)
    if not hasattr(value, "scheduler_address"):
        raise NoSuchCluster(f"`{name}` is neither a cluster nor a client of dask, but of type {type(value).__name__}")
    try:
        # Its `get_client` may return a client of the user's, which is not ours to close.
        client = _distributed().Client(value, set_as_default=False)
    except Exception as error:
        raise ClusterError(f"the cluster `{name}` cannot be reached: {_said(error)}") from error
    return Cluster(client, own=(client,))


def check_python(cluster: Cluster) -> None:
    """Raise ClusterError if a part of the cluster runs another Python, which could not run our code."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    versions = cluster.client.get_versions()
    for place, one in (("the scheduler", versions["scheduler"]), *versions["workers"].items()):
        there = ".".join(str((one or {}).get("host", {}).get("python", here)).split(".")[:2])
        if there != here:
            raise ClusterError(
                f"{place} runs Python {there}, and the session Python {here}: code can go only to the same one"
            )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(":")[:300]

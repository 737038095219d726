"""A machine of Colab: a host of its own before a Jupyter Server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy import routes
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

if TYPE_CHECKING:
    from proxy import Socket
    from state import Server, State

# Bodies pass through: no limit, unlike the messages of WebSockets, which keep Tornado's 10 MiB.
MAX_BODY_BYTES = 2**40

# Compute units an hour.
RATES = {"NONE": 0.07, "T4": 1.18, "L4": 1.71, "A100": 5.37, "H100": 12.04, "V5E1": 3.02, "V6E1": 4.53}
TPUS = ("V28", "V2-8", "V5E1", "V5E-1", "V6E1")
# They have one shape.
HIGH_RAM_ONLY = ("L4", "V28", "V2-8", "V5E1", "V5E-1", "V6E1")
ACCELERATORS = ("T4", "L4", "A100", "H100", "G4", *TPUS)


def ignore(handler: RequestHandler) -> None:
    """Log nothing: addresses have tokens."""
    del handler


@dataclass(eq=False)
class Machine:
    """An assigned machine."""

    state: State
    # The notebook's hash, or none for one of the official API.
    nbh: str | None
    accelerator: str
    is_high_ram: bool
    # The index of its server.
    index: int
    endpoint: str = ""
    runtime_id: str = ""
    is_alive: bool = True
    replaced: int = 0
    keep_alives: int = 0
    # Requests without a valid token.
    refused: int = 0
    http: HTTPServer = field(init=False)
    port: int = 0
    ready_at: float = 0.0
    tokens: dict[str, float] = field(default_factory=dict)
    sockets: set[Socket] = field(default_factory=set)

    @classmethod
    def start(
        cls, state: State, nbh: str | None, accelerator: str, *, is_high_ram: bool, runtime_id: str = ""
    ) -> Machine:
        """Assign a machine; it boots for a while."""
        index = min(len(state.all_machines), len(state.servers) - 1)
        machine = cls(state, nbh, accelerator, is_high_ram, index)
        kind = "gpu" if accelerator != "NONE" else "m"
        machine.endpoint = f"{kind}-s-{secrets.token_hex(6)}"
        machine.runtime_id = runtime_id or f"r-{secrets.token_hex(6)}"
        machine.ready_at = state.now() + state.knobs.boot_sec
        [socket] = bind_sockets(0, "127.0.0.1")
        machine.port = socket.getsockname()[1]
        machine.http = HTTPServer(Application(routes(machine), log_function=ignore), max_body_size=MAX_BODY_BYTES)
        machine.http.add_sockets([socket])
        state.machines[machine.endpoint] = machine
        state.all_machines.append(machine)
        return machine

    @property
    def server(self) -> Server:
        """Return what is inside."""
        return self.state.servers[self.index]

    @property
    def is_ready(self) -> bool:
        """Return whether it has booted."""
        return self.state.now() >= self.ready_at

    @property
    def url(self) -> str:
        """Return the address of its host, port 8080 of the real one."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variant(self) -> int:
        """Return 0 for none, 1 for a GPU, 2 for a TPU."""
        return 0 if self.accelerator == "NONE" else 2 if self.accelerator in TPUS else 1

    def token(self) -> tuple[str, float]:
        """Return a new proxy token and its end; the earlier ones stay valid until theirs."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = self.state.now() + self.state.knobs.proxy_token_sec
        return token, self.tokens[token]

    def is_valid(self, token: str | None) -> bool:
        """Return whether a proxy token opens it."""
        return self.state.now() < self.tokens.get(token or "", 0.0)

    def assignment(self) -> dict[str, Any]:
        """Return it as the control plane of the web page has it, with a new proxy token."""
        return {
            "accelerator": self.state.knobs.accelerator_name or self.accelerator,
            "endpoint": self.endpoint,
            "machineShape": int(self.is_high_ram),
            "runtimeProxyInfo": {
                "token": self.token()[0],
                "tokenExpiresInSeconds": self.state.knobs.proxy_token_sec,
                "url": self.url,
            },
            "variant": self.variant,
        }

    def connection(self) -> dict[str, str]:
        """Return what the official API calls so, with a new proxy token."""
        token, end = self.token()
        time = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"url": self.url, "token": token, "expireTime": time}

    def resources(self) -> dict[str, Any]:
        """Return its memory, disks and GPUs."""
        gib = 2**30
        gpus = [{"name": "Tesla T4", "memoryUsedBytes": 0, "memoryTotalBytes": 15 * gib, "everUsed": False}]
        memory = (51 if self.is_high_ram else 13) * gib
        return {
            "memory": {"totalBytes": memory, "freeBytes": memory - gib},
            "disks": [{"filesystem": {"label": "kernel", "totalBytes": 108 * gib, "usedBytes": 38 * gib}}],
            **({"gpus": gpus} if self.variant == 1 else {}),
        }

    def carry(self, size: int) -> None:
        """Count the bytes of a message; the tokens may end with it."""
        waiting = self.state.knobs.expire_after
        if not waiting:
            return
        waiting[0] -= size
        if waiting[0] <= 0:
            del waiting[0]
            self.tokens.clear()
            self.drop_sockets()

    def drop_sockets(self) -> None:
        """Break its WebSockets."""
        for socket in list(self.sockets):
            socket.abort()

    async def end(self) -> None:
        """Take it away: its host refuses connections."""
        self.is_alive = False
        self.state.machines.pop(self.endpoint, None)
        self.http.stop()
        self.drop_sockets()
        await self.http.close_all_connections()

    def replace(self) -> None:
        """Put a new machine behind the same endpoint: the next server."""
        self.index += 1
        self.replaced += 1
        self.drop_sockets()

    def shown(self) -> dict[str, Any]:
        """Return it for `/_fake`."""
        names = ["endpoint", "nbh", "runtime_id", "accelerator", "is_high_ram", "port", "is_alive", "is_ready"]
        names += ["replaced", "keep_alives", "refused"]
        shown = {name: getattr(self, name) for name in names}
        return shown | {"server": self.index, "sockets": len(self.sockets)}

"""Who may pass: the sender's address first, then its token; wrong tokens are put off, by address."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..core.errors import AddressNotAllowed, TooManyFailures, Unauthorized
from .token import Token

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What each tunnel names its client in. Both headers hold what the tunnel's own edge saw, whatever the client sent:
# - ngrok appends to the X-Forwarded-For that came, so its own value is the last one:
#   https://ngrok.com/docs/universal-gateway/http-s/upstream-headers
# - Cloudflare appends there too (https://github.com/cloudflare/cloudflared/issues/1426), and sets CF-Connecting-IP:
#   https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip
TUNNEL_HEADERS = {"ngrok": "X-Forwarded-For", "cloudflare": "CF-Connecting-IP"}

FAILURE_BURST = 10
FAILURE_INTERVAL_SEC = 2
MAX_ADDRESSES = 4096


@dataclass(frozen=True)
class Sender:
    """Where a request comes from."""

    address: Address | None
    """None: a tunnel brought it, and says nothing that can be read."""
    is_own: bool = False
    """From this very machine, and through no tunnel."""

    def __str__(self) -> str:
        return "unknown" if self.address is None else str(self.address)


class Admission:
    """Lets in who comes from an allowed address and has the token. May be asked by many threads at once."""

    def __init__(
        self,
        token: Token,
        allowed: Sequence[Network] = (),
        behind: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._allowed = allowed
        self._header = TUNNEL_HEADERS[behind] if behind else None
        self._failures = _Failures(clock)
        self._lock = threading.Lock()

    def sender(self, peer: str, header: Callable[[str], str | None]) -> Sender:
        """Tell where a request comes from, by the address of its connection and its headers."""
        address = _parse(peer)
        # Anybody can send such a header; only the tunnel's agent, on this machine, is believed.
        if address is None or not address.is_loopback:
            return Sender(address)
        named = header(self._header) if self._header else None
        return Sender(address, is_own=True) if named is None else Sender(_parse(named.rpartition(",")[2].strip()))

    def check_address(self, sender: Sender) -> None:
        """Raises AddressNotAllowed."""
        if not self._allowed or sender.is_own:
            return
        if sender.address is None or not any(sender.address in network for network in self._allowed):
            raise AddressNotAllowed(str(sender))

    def check_token(self, sender: Sender, authorization: str | None) -> None:
        """Raises Unauthorized, TooManyFailures."""
        if not (authorization or "").partition(" ")[2].strip():
            raise Unauthorized
        # First: whoever guesses through the owner's own tunnel does not lock the owner out.
        if self._token.admits(authorization):
            return
        group = _group(sender.address)
        with self._lock:
            wait = self._failures.wait(group)
            if wait > 0:
                raise TooManyFailures(math.ceil(wait))
            self._failures.count(group)
        raise Unauthorized


class _Failures:
    """How long each address has to wait: every failure costs it some seconds, and a few may be owed at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When each will have waited for all of its failures; those that failed last are last.
        self._settled: OrderedDict[object, float] = OrderedDict()

    def wait(self, group: object) -> float:
        owed = self._settled.get(group, 0.0) - self._clock()
        return max(0.0, owed - (FAILURE_BURST - 1) * FAILURE_INTERVAL_SEC)

    def count(self, group: object) -> None:
        now = self._clock()
        self._settled[group] = max(self._settled.get(group, now), now) + FAILURE_INTERVAL_SEC
        self._settled.move_to_end(group)
        while len(self._settled) > MAX_ADDRESSES:
            self._settled.popitem(last=False)


def parse_networks(text: str) -> list[Network]:
    """Read addresses and networks, between commas or spaces. Raises ValueError that names the malformed one."""
    return [_network(entry) for entry in text.replace(",", " ").split()]


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise ValueError(
            f"{entry[:64]!r} is no IP address and no network: {error}; write 203.0.113.7 or 203.0.113.0/24"
        ) from error


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _group(address: Address | None) -> object:
    """Whose failures are counted together: whoever has one IPv6 address has all of its /64."""
    return int(address) >> 64 << 64 if isinstance(address, IPv6Address) else address

"""Admission of requests: the sender's address first, then its token; wrong tokens are throttled by address."""

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

# The header in which each tunnel names its client. Its value is what the tunnel's edge saw, whatever the client sent:
# - ngrok appends to a received X-Forwarded-For, so its own value is the last one:
#   https://ngrok.com/docs/universal-gateway/http-s/upstream-headers
# - Cloudflare also appends there (https://github.com/cloudflare/cloudflared/issues/1426), and sets CF-Connecting-IP:
#   https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip
TUNNEL_HEADERS = {"ngrok": "X-Forwarded-For", "cloudflare": "CF-Connecting-IP"}

FAILURE_BURST = 10
FAILURE_INTERVAL_SEC = 2
MAX_ADDRESSES = 4096


@dataclass(frozen=True)
class Sender:
    """The origin of a request."""

    address: Address | None
    """None: it came through a tunnel without a readable address."""
    is_own: bool = False
    """It came from this machine and through no tunnel."""

    def __str__(self) -> str:
        return "unknown" if self.address is None else str(self.address)


class Admission:
    """Admits requests from an allowed address with the right token. Thread-safe."""

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
        """Determine a request's sender from the address of its connection and its headers."""
        address = _parse(peer)
        # Any client can send such a header; only the tunnel's agent, on this machine, is trusted.
        if address is None or not address.is_loopback:
            return Sender(address)
        named = header(self._header) if self._header else None
        return Sender(address, is_own=True) if named is None else Sender(_parse(named.rpartition(",")[2].strip()))

    def check_address(self, sender: Sender) -> None:
        """Raise AddressNotAllowed for a sender outside the allowed networks."""
        if not self._allowed or sender.is_own:
            return
        if sender.address is None or not any(sender.address in network for network in self._allowed):
            raise AddressNotAllowed(str(sender))

    def check_token(self, sender: Sender, authorization: str | None) -> None:
        """Raise Unauthorized or TooManyFailures unless the header holds the token."""
        if not (authorization or "").partition(" ")[2].strip():
            raise Unauthorized
        # First, so that guesses through the owner's tunnel do not lock the owner out.
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
    """Failures by address: each costs FAILURE_INTERVAL_SEC, and FAILURE_BURST of them may be owed at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When each address is clear of its failures; the most recent failure is last.
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
    """Parse addresses and networks separated by commas or spaces. Raises ValueError that names the malformed one."""
    return [_network(entry) for entry in text.replace(",", " ").split()]


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise ValueError(
            f"{entry[:64]!r} is neither an IP address nor a network: {error}; write 203.0.113.7 or 203.0.113.0/24"
        ) from error


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _group(address: Address | None) -> object:
    """Return the key for counting failures; all addresses of an IPv6 /64 count as one sender."""
    return int(address) >> 64 << 64 if isinstance(address, IPv6Address) else address

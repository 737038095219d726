"""What the fake knows: its settings, its machines, and what was asked of it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from machine import Machine

SCOPE = "https://www.googleapis.com/auth/"
COLABORATORY = f"{SCOPE}colaboratory"
EMAIL = f"{SCOPE}userinfo.email"
ACCESS_TOKEN_SEC = 3599

# How an assignment goes. `lost` and `hangs`: it works, and the answer is missing. `quota_503`: the outcome of
# an exceeded quota in a 503, as was seen once. The official API gives `412`, `quota_2` and `denylisted` as reasons.
Outcome = Literal["lost", "hangs", "html_400", "412", "502", "503", "quota_1", "quota_2", "quota_503", "denylisted"]


@dataclass(frozen=True)
class Server:
    """A Jupyter Server that stands for a machine's inside."""

    url: str
    token: str


@dataclass
class Knobs:
    """Settings; a count goes down to 0, a list is used up from its start."""

    # The sign-in.
    consent: Literal["agree", "deny"] = "agree"
    # What the person grants at most: null is all that is asked for.
    scopes: list[str] | None = None
    # The account. Without a list, all accelerators are eligible and none is reported.
    eligible: list[str] | None = field(default_factory=lambda: ["T4", "V5E1"])
    max_sessions: int = 5
    balance: float = 0.0
    # 0 free, 1 Pro, 2 Pro+.
    tier: int = 0
    is_allowlisted: bool = True
    has_drive_consent: bool = False
    # Assigning: the next POSTs, the next GETs, whether `p` is set, a reply with what is sure alone, and the name
    # that all assignments report.
    assign: list[Outcome] = field(default_factory=list)
    assign_get: list[Outcome] = field(default_factory=list)
    captcha: bool = False
    sparse: bool = False
    accelerator_name: str | None = None
    boot_sec: float = 0.0
    # So many lists show no machine, and this rate is reported in place of the machines' own.
    lose_list: int = 0
    rate: float | None = None
    # So many POSTs that end a machine are refused.
    unassign_fails: int = 0
    # Whether the official API answers each request with 500.
    official_fails: bool = False
    # The list of no machines.
    no_assignments: Literal["absent", "empty"] = "absent"
    keep_alive: Literal["hangs", "answers"] | int = "hangs"
    # The machines: counts of requests, and types of `colab_request` for the next cells.
    proxy_token_sec: int = 3600
    expired_status: Literal[404, 401] = 404
    kernel_start_fails: int = 0
    lose_contents: int = 0
    colab_request: list[str] = field(default_factory=list)
    # All proxy tokens and sockets end once messages of so many bytes have passed, both ways together.
    expire_after: list[int] = field(default_factory=list)


@dataclass
class Grant:
    """What an access token allows, until when on the fake's clock."""

    expires: float
    scopes: list[str]


@dataclass
class State:
    """Everything that lasts longer than a request."""

    servers: list[Server]
    url: str
    knobs: Knobs = field(default_factory=Knobs)
    clock_offset_sec: float = 0.0
    machines: dict[str, Machine] = field(default_factory=dict)
    # Those that are gone, too.
    all_machines: list[Machine] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    colab_requests: list[dict[str, Any]] = field(default_factory=list)
    access_tokens: dict[str, Grant] = field(default_factory=dict)
    # Refresh tokens of our own codes, with their scopes.
    refresh_tokens: dict[str, list[str]] = field(default_factory=dict)
    is_revoked: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    # Tokens against forged requests, by what they are for.
    forms: dict[str, str] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)

    def now(self) -> float:
        """Return the fake's time, in seconds since 1970."""
        return time.time() + self.clock_offset_sec

    def fault(self, text: str) -> None:
        """Record what a client must not do."""
        self.faults.append(text)

    def form(self, purpose: str) -> str:
        """Return a token that a POST for this purpose has to bring."""
        token = secrets.token_urlsafe(24)
        self.forms[token] = purpose
        return token

    def grant(self, scopes: list[str]) -> str:
        """Return a new access token."""
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.access_tokens[token] = Grant(self.now() + ACCESS_TOKEN_SEC, scopes)
        return token

    def scopes_of(self, authorization: str | None) -> list[str] | None:
        """Return what an `Authorization` header allows, or None if it is not valid."""
        grant = self.access_tokens.get((authorization or "").removeprefix("Bearer "))
        return grant.scopes if grant is not None and self.now() < grant.expires else None

    def is_eligible(self, accelerator: str) -> bool:
        """Return whether the account may have this; without a list it may have all."""
        return accelerator == "NONE" or self.knobs.eligible is None or accelerator in self.knobs.eligible

    def used(self, knob: str) -> bool:
        """Count a knob down; return whether it was above 0."""
        count: int = getattr(self.knobs, knob)
        setattr(self.knobs, knob, max(0, count - 1))
        return count > 0

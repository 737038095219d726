"""The policy for risky calls in code, and what it decides before code runs."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ..core.errors import ConsentNeeded, ForbiddenByPolicy, NotFound
from .audit import Audit
from .findings import KINDS, Finding, find
from .places import Places

LEVELS = ("off", "warn", "confirm", "deny")
MAX_NAMED = 5
# Statements that wait for a consent, and findings that a session was warned of.
MAX_OPEN = 16
MAX_WARNED = 1000


def parse_policy(text: str) -> dict[str, str]:
    """Return the level of each kind of finding: `warn`, or `warn,network=deny`. Raises ValueError."""
    levels = dict.fromkeys(KINDS, "off")
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        kind, equals, level = (word.strip() for word in part.rpartition("="))
        if level not in LEVELS or (equals and kind not in KINDS):
            raise ValueError(
                f"{part!r} is not a policy: give one of {', '.join(LEVELS)}, or one for each kind of "
                f"{', '.join(KINDS)}, such as warn,network=deny"
            )
        levels |= {kind: level} if equals else dict.fromkeys(KINDS, level)
    return levels


class Guard:
    """Checks code before it runs, and keeps the consents that it was given. Thread-safe."""

    def __init__(self, levels: dict[str, str], places: Places, audit: Audit) -> None:
        self._levels = levels
        self._places = places
        self._audit = audit
        self._lock = threading.Lock()
        # How often consent to each statement is awaited, and was given and not used yet. A statement names its code.
        self._open: OrderedDict[str, int] = OrderedDict()
        self._agreed: OrderedDict[str, int] = OrderedDict()
        self._warned: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    @property
    def is_off(self) -> bool:
        """Whether nothing is looked for."""
        return set(self._levels.values()) == {"off"}

    def check(self, sources: Iterable[str], session: str, **job: Any) -> str | None:
        """Return a line to show with the output, or None. Raises ForbiddenByPolicy, ConsentNeeded: nothing may run."""
        texts = list(sources)
        found = [finding for text in texts for finding in find(text, self._places)]
        denied = self._at("deny", found)
        if denied:
            self._note("denied", denied, session, job)
            raise ForbiddenByPolicy(
                f"The policy of this executor forbids what this code does: {_named(denied)}.",
                "Do it another way, or ask the user to do it, or to change the policy "
                f"({', '.join(sorted({finding.kind for finding in denied}))}) in SMART_COLAB_POLICY.",
            )
        asked = [finding for finding in self._at("confirm", found) if not finding.is_ordinary]
        if asked:
            code = hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]
            statement = (
                f"The policy of this executor wants the user's consent for what this code does: {_named(asked)} "
                f"[code {code}]."
            )
            with self._lock:
                has_consent = _take(self._agreed, statement)
                if not has_consent:
                    _push(self._open, statement, self._open.get(statement, 0) + 1, MAX_OPEN)
            self._note("agreed" if has_consent else "asked", asked, session, job)
            if not has_consent:
                raise ConsentNeeded(
                    statement, "Do it another way, or ask the user to do it or to change SMART_COLAB_POLICY."
                )
        return self._warning(self._at("warn", found), session, job)

    def agree(self, statement: str) -> None:
        """Take the user's consent to a statement, for one run of the code that it names. Raises NotFound."""
        with self._lock:
            if not _take(self._open, statement):
                raise NotFound("No code waits for this consent.", "Send the code again.")
            _push(self._agreed, statement, self._agreed.get(statement, 0) + 1, MAX_OPEN)

    def _at(self, level: str, found: list[Finding]) -> list[Finding]:
        return [finding for finding in found if self._levels[finding.kind] == level]

    def _warning(self, found: list[Finding], session: str, job: dict[str, Any]) -> str | None:
        """Return a line about what the session was not warned of before."""
        new = []
        with self._lock:
            for finding in found:
                key = (session, finding.kind, finding.what)
                if not finding.is_ordinary and key not in self._warned:
                    _push(self._warned, key, None, MAX_WARNED)
                    new.append(finding)
        if not new:
            return None
        self._note("warned", new, session, job)
        return f"[policy: {_named(new)}]\n"

    def _note(self, decision: str, found: list[Finding], session: str, job: dict[str, Any]) -> None:
        """Record a decision: where in the code, but none of the code."""
        places = [f"{finding.kind}:{finding.line}" for finding in found]
        self._audit.decided(decision=decision, session=session, found=places, **job)


def _named(found: list[Finding]) -> str:
    named = [str(finding) for finding in found[:MAX_NAMED]]
    more = len(found) - len(named)
    return "; ".join([*named, f"and {more} more"] if more else named)


def _take(counts: OrderedDict[str, int], key: str) -> bool:
    """Count one down; False if there is none."""
    count = counts.pop(key, 0)
    if count > 1:
        counts[key] = count - 1
    return count > 0


def _push(kept: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)

"""The executor's only secret: it grants running any code."""

from __future__ import annotations

import hmac


class Token:
    """A token that can be compared but not printed."""

    def __init__(self, value: str) -> None:
        """Raise ValueError for a token that is empty, `-`, or not printable ASCII: such a token is a mistake."""
        if value in ("", "-") or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("the token must be printable ASCII without spaces, and neither empty nor '-'")
        self._value = value.encode()

    def __repr__(self) -> str:
        return "Token(…)"

    def admits(self, authorization: str | None) -> bool:
        """Return whether an Authorization header holds the token; takes the same time for every wrong one."""
        scheme, _, given = (authorization or "").partition(" ")
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._value) and scheme.lower() == "bearer"

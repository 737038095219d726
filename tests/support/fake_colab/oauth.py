"""Google's sign-in: the page where a person agrees, and the tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import urlencode, urlsplit

from handler import Handler, expanded
from state import ACCESS_TOKEN_SEC, COLABORATORY, EMAIL, SCOPE

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Those of `gcloud auth application-default login --scopes=…`, as the documents say to run it.
DEFAULT_SCOPES = ["openid", f"{SCOPE}cloud-platform", EMAIL, COLABORATORY]


class Auth(Handler):
    """`accounts.google.com/o/oauth2/v2/auth`, as if a person sat before it."""

    def get(self) -> None:
        """Send the browser back with a code."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        redirect = query.get("redirect_uri", "")
        if urlsplit(redirect).scheme != "http" or urlsplit(redirect).hostname not in LOOPBACK:
            return self.page("redirect_uri_mismatch")
        if query.get("response_type") != "code" or not query.get("client_id") or not query.get("scope"):
            return self.page("invalid_request")
        if query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
            self.state.fault("auth: no PKCE with S256")
        if not query.get("state"):
            self.state.fault("auth: no state")

        reply = {"state": query.get("state", "")}
        if self.state.knobs.consent == "deny":
            reply["error"] = "access_denied"
        else:
            granted = expanded(query["scope"].split())
            if self.state.knobs.scopes is not None:
                granted = [scope for scope in granted if scope in expanded(self.state.knobs.scopes)]
            query["scope"] = " ".join(granted)
            code = f"4/0A{secrets.token_urlsafe(24)}"
            self.state.codes[code] = query
            reply |= {"code": code, "scope": query["scope"]}
        return self.redirect(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(reply)}")

    def page(self, error: str) -> None:
        """Show an error to the person."""
        self.set_status(400)
        self.finish(f"<!DOCTYPE html><title>Error 400: {error}</title>")


class Token(Handler):
    """`oauth2.googleapis.com/token`."""

    def post(self) -> None:
        """Give an access token."""
        grant = self.get_body_argument("grant_type", "")
        self.state.requests[-1]["grant_type"] = grant
        client = self.get_body_argument("client_id", "")
        if not client or client.startswith("bad-"):
            return self.fail("invalid_client", "The OAuth client was not found.", 401)
        if not self.get_body_argument("client_secret", ""):
            return self.fail("invalid_request", "client_secret is missing.")
        if grant == "refresh_token":
            return self.refresh(self.get_body_argument("refresh_token", ""))
        if grant == "authorization_code":
            return self.exchange(client, self.get_body_argument("code", ""))
        return self.fail("unsupported_grant_type", f"Invalid grant_type: {grant}")

    def refresh(self, token: str) -> None:
        """Answer for a refresh token: any `good-…` is valid until it is revoked."""
        state = self.state
        own = state.refresh_tokens.get(token)
        if own is not None:
            self.give(own, None)
        elif token.startswith("good-") and not state.is_revoked:
            self.give(DEFAULT_SCOPES if state.knobs.scopes is None else expanded(state.knobs.scopes), None)
        else:
            self.fail("invalid_grant", "Token has been expired or revoked.")

    def exchange(self, client: str, code: str) -> None:
        """Answer for a code, once."""
        asked = self.state.codes.pop(code, None)
        if asked is None or asked["client_id"] != client:
            return self.fail("invalid_grant", "Malformed auth code.")
        if asked["redirect_uri"] != self.get_body_argument("redirect_uri", ""):
            return self.fail("redirect_uri_mismatch", "Bad Request")
        challenge = asked.get("code_challenge")
        verifier = self.get_body_argument("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if challenge and not verifier:
            return self.fail("invalid_grant", "Missing code verifier.")
        if challenge and digest != challenge:
            return self.fail("invalid_grant", "Invalid code verifier.")
        is_offline = asked.get("access_type") == "offline" and asked.get("prompt") == "consent"
        refresh = f"good-{secrets.token_urlsafe(24)}" if is_offline else None
        return self.give(asked["scope"].split(), refresh)

    def give(self, scopes: list[str], refresh: str | None) -> None:
        """Answer with tokens."""
        body: dict[str, str | int] = {
            "access_token": self.state.grant(scopes),
            "expires_in": ACCESS_TOKEN_SEC,
            "scope": " ".join(scopes),
            "token_type": "Bearer",
        }
        if "openid" in scopes:
            claims = base64.urlsafe_b64encode(b'{"email": "somebody@example.org"}').rstrip(b"=").decode()
            body["id_token"] = f"header.{claims}.signature"
        if refresh is not None:
            self.state.refresh_tokens[refresh] = scopes
            body["refresh_token"] = refresh
        self.answer(body)

    def fail(self, error: str, description: str, status: int = 400) -> None:
        """Refuse."""
        self.answer({"error": error, "error_description": description}, status)

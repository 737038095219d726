"""The routes of the machine and the executor: `/health`, `/probe` and `/shutdown`. See API.md."""

from __future__ import annotations

from flask import Flask, Response, request

from .. import __version__
from ..core.arguments import SESSION_NAME
from ..core.errors import InvalidArgument
from ..jobs.job import MAX_CODE_HEAD_CHARS, MAX_HOLD_SEC
from ..jobs.request import MAX_TIMEOUT_SEC
from ..machine import probe
from ..wire import API_VERSION
from ..wire.machine import Limits
from .context import Config
from .middleware import MAX_BODY_BYTES
from .replies import json_reply

MAX_PACKAGES = 100


def add_machine_routes(app: Flask, config: Config) -> None:
    """Serve facts about the machine, and the shutdown of the executor."""

    @app.get("/health")
    def health() -> Response:
        memory = probe.memory()
        return json_reply(
            {
                "status": "ok",
                "uptime_minutes": config.uptime_minutes,
                "memory_available_gb": memory.available_gb,
                "memory_used_pct": memory.used_pct,
                "version": __version__,
            }
        )

    @app.get("/probe")
    def machine() -> Response:
        executor = {
            "version": __version__,
            "api": API_VERSION,
            "boot_id": config.boot_id,
            "uptime_minutes": config.uptime_minutes,
            "root": str(config.root),
        }
        limits: Limits = {
            "max_timeout_sec": MAX_TIMEOUT_SEC,
            "max_wait_sec": MAX_HOLD_SEC,
            "max_body_bytes": MAX_BODY_BYTES,
            "max_code_head_chars": MAX_CODE_HEAD_CHARS,
            "session_name": SESSION_NAME.pattern,
        }
        return json_reply(
            {
                "executor": executor,
                **probe.machine(config.root, _packages()),
                "limits": limits,
                "sessions": config.sessions.describe(),
            }
        )

    @app.post("/shutdown")
    def shutdown() -> Response:
        config.stop.set()
        return json_reply({"status": "stopping"}, 202)


def _packages() -> list[str] | None:
    """Return the names of packages in the request, None for the well-known ones. Raises InvalidArgument."""
    named = request.args.get("packages")
    if named is None:
        return None
    names = list(dict.fromkeys(name for name in map(str.strip, named.split(",")) if name))
    if not 1 <= len(names) <= MAX_PACKAGES:
        raise InvalidArgument(
            f"'packages' must be 1 to {MAX_PACKAGES} names.", "Separate them by commas: packages=torch,numpy."
        )
    return names

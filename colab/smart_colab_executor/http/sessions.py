"""The routes of `/sessions`, `/variables`, `/names` and `/cleanup`. See API.md."""

from __future__ import annotations

from flask import Flask, Response, request

from ..core import errors
from ..core.arguments import session_name
from ..files.files import Files
from ..jobs.names import cell_names
from ..jobs.request import DEFAULT_SESSION
from ..machine import probe
from .context import Config
from .replies import json_body, json_reply


def add_session_routes(app: Flask, config: Config, files: Files) -> None:
    """Serve sessions; `files` are those of the content root."""
    sessions = config.sessions

    @app.get("/sessions")
    def list_sessions() -> Response:
        return json_reply({"sessions": sessions.describe()})

    @app.post("/sessions/<name>/restart")
    def restart(name: str) -> Response:
        session, ended = sessions.restart(session_name(name))
        return json_reply({"session": session, "ended_jobs": ended})

    @app.delete("/sessions/<name>")
    def delete(name: str) -> Response:
        return json_reply({"ended_jobs": sessions.delete(session_name(name))})

    @app.get("/variables")
    def variables() -> Response:
        session = session_name(request.args.get("session", DEFAULT_SESSION))
        return json_reply(sessions.variables(session, request.args.get("name") or None))

    @app.post("/cleanup")
    def cleanup() -> Response:
        body = json_body()
        name = session_name(body.get("session", DEFAULT_SESSION))
        if not isinstance(body.get("temp_files", False), bool):
            raise errors.InvalidArgument("'temp_files' must be true or false.")
        variables = _variable_names(body.get("variables"))
        before = probe.memory().available_gb
        done = sessions.cleanup(name, variables)
        deleted = files.clear_temp() if body.get("temp_files") else []
        after = probe.memory().available_gb
        memory = {"memory_before_gb": before, "memory_after_gb": after}
        return json_reply({"session": name, **done, "deleted_files": deleted, **memory})

    @app.post("/names")
    def names() -> Response:
        cells = json_body().get("cells")
        if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
            raise errors.InvalidArgument("'cells' must be a list of texts.")
        return json_reply({"cells": [cell_names(cell) for cell in cells]})


def _variable_names(names: object) -> list[str] | None:
    """Return the names to clean up, None for all. Raises InvalidArgument."""
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise errors.InvalidArgument(
            "'variables' must be a list of names, one at least.", "Without 'variables' all of them are cleared."
        )
    return names

"""Assembles the HTTP application. See API.md."""

from __future__ import annotations

from flask import Flask

from .http.context import Config
from .http.files import add_file_routes
from .http.jobs import add_job_routes
from .http.machine import add_machine_routes
from .http.middleware import install_middleware
from .http.page import add_page_routes
from .http.sessions import add_session_routes
from .http.slots import Slots

MAX_DOWNLOADS = 64


def create_app(config: Config) -> Flask:
    """Create the WSGI application; it must not outlive `config.sessions`."""
    app = Flask(__name__, static_folder=None)
    install_middleware(app, config.boot_id, config.admission, config.audit, config.endings)
    slots = Slots(MAX_DOWNLOADS)
    files = add_file_routes(app, config, slots)
    add_job_routes(app, config, slots)
    add_session_routes(app, config, files)
    add_machine_routes(app, config)
    add_page_routes(app)
    return app

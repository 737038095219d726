"""The start cell's settings: from the form, the secrets of Colab or Kaggle, and the environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..guard.admission import parse_networks
from .tunnels import SetupError

TUNNELS = ("ngrok", "cloudflare", "none")
EXECUTOR, JUPYTER = "executor", "Jupyter Server"


@dataclass(frozen=True)
class Settings:
    """The checked settings from the form, the secrets and the environment."""

    server: str
    tunnel: str
    port: int
    root: Path
    token: str = field(default="", repr=False)
    ngrok_token: str = field(default="", repr=False)
    ngrok_domain: str = ""
    allowed_ips: str = ""

    @property
    def state(self) -> Path:
        """The state folder, which outlives a run of the cell."""
        return self.root / ".smart_colab"


def read_settings(
    server: str, tunnel: str, domain: str, root: Path, secret: Callable[[str], str], allowed_ips: str = ""
) -> Settings:
    """Check the form. The environment overrides it, for unattended runs."""
    server = os.environ.get("SMART_COLAB_SERVER", server).strip()
    if server not in (EXECUTOR, JUPYTER):
        raise SetupError(f"The server must be {EXECUTOR} or {JUPYTER}, not {server!r}.")
    tunnel = os.environ.get("SMART_COLAB_TUNNEL", tunnel).strip().lower()
    if tunnel not in TUNNELS:
        raise SetupError(f"The tunnel must be one of {', '.join(TUNNELS)}, not {tunnel!r}.")
    port = os.environ.get("SMART_COLAB_NOTEBOOK_PORT", "0")
    if not port.isdecimal():
        raise SetupError(f"SMART_COLAB_NOTEBOOK_PORT must be a number, not {port!r}.")
    allowed_ips = os.environ.get("ALLOWED_IPS", "").strip() or allowed_ips.strip()
    try:
        parse_networks(allowed_ips)
    except ValueError as error:
        raise SetupError(f"ALLOWED_IPS: {error}") from error
    if allowed_ips and server == JUPYTER:
        raise SetupError(
            "A Jupyter Server serves every address from which its token comes: leave allowed_ips empty, "
            f"or choose the server {EXECUTOR!r}."
        )
    token = secret("SMART_COLAB_TOKEN")
    settings = Settings(server, tunnel, int(port), root.absolute(), token=token, allowed_ips=allowed_ips)
    if tunnel != "ngrok":
        return settings
    ngrok_token = secret("NGROK_TOKEN")
    if not ngrok_token:
        raise SetupError(
            "ngrok needs your authtoken as the Secret NGROK_TOKEN:\n"
            "  1. Copy it from https://dashboard.ngrok.com/get-started/your-authtoken\n"
            "  2. Click the key in Colab's left side bar, add the secret NGROK_TOKEN, switch on 'Notebook access';\n"
            "     on Kaggle, add it under Add-ons > Secrets, and attach it to this notebook\n"
            "  3. Run this cell again.\n"
            "Or choose the tunnel 'cloudflare' above, which needs no account."
        )
    domain = domain.strip() or secret("NGROK_DOMAIN")
    domain = domain.removeprefix("https://").rstrip("/")
    return replace(settings, ngrok_token=ngrok_token, ngrok_domain=domain)


def secret(name: str) -> str:
    """Return a secret from the environment, from Kaggle or from Colab; empty if there is none."""
    if value := os.environ.get(name, "").strip():
        return value
    # First, as Kaggle's machines are made from Colab's.
    with contextlib.suppress(ImportError):
        return _kaggle_secret(name)
    try:
        from google.colab import userdata
    except ImportError:
        return ""
    try:
        return str(userdata.get(name)).strip()
    except userdata.SecretNotFoundError:
        return ""
    except userdata.NotebookAccessError as error:
        raise SetupError(
            f"This notebook may not read your Colab Secret {name}.\n"
            f"Click the key in Colab's left side bar, switch on 'Notebook access' for {name}, and run this cell again."
        ) from error
    except userdata.TimeoutException:  # the browser page must answer, and it is not open
        return ""


def _kaggle_secret(name: str) -> str:
    """Return a secret from Kaggle. Raises ImportError elsewhere."""
    from kaggle_secrets import BackendError, UserSecretsClient

    try:
        return str(UserSecretsClient().get_secret(name)).strip()
    except BackendError:  # it has none of this name for this notebook
        return ""
    except ConnectionError as error:
        raise SetupError(
            "Kaggle's Secrets do not answer. Switch on Internet in the notebook's Session options, "
            "and run this cell again."
        ) from error

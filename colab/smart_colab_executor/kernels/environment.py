"""The environment of kernels."""

from __future__ import annotations

import os

SECRET_VARIABLES = ("SMART_COLAB_TOKEN",)


def environment() -> dict[str, str]:
    """Return the variables for a new kernel."""
    found = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    # Figures are output, whatever matplotlib's default on this machine.
    return {**found, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}

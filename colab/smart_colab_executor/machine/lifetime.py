"""The age of a machine of Colab, which ends free ones after at most 12 hours."""

from __future__ import annotations

import os
import time

import psutil


def is_colab() -> bool:
    """Return whether this is a machine of Colab."""
    return "COLAB_RELEASE_TAG" in os.environ


def age_sec() -> int | None:
    """Return the seconds since the machine was given to its user; None where it is not one of Colab.

    Its container starts then; the VM around it may have been running before.
    """
    if not is_colab():
        return None
    try:
        began = psutil.Process(1).create_time()
    except psutil.Error:
        began = psutil.boot_time()
    return max(0, int(time.time() - began))

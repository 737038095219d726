"""`python -m smart_colab_executor`."""

from __future__ import annotations

import sys

from .kernels.fork_server_start import start
from .machine.open_files import allow_open_files

allow_open_files()
# First of all: what a kernel needs is imported there while we import what we need.
fork_server = start()

from .cli import main  # noqa: E402

try:
    sys.exit(main(fork_server=fork_server))
finally:
    if fork_server is not None:
        fork_server.end()

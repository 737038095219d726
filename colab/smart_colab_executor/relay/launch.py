"""Start the executor from an unpacked package: `python launch.py LOG OPTIONS…`.

In this process alone, the packages in `site/` come before those of this Python: one set of versions that was tested
together. The working folder is not on the path: a file of the user's cannot replace a module.
"""

from __future__ import annotations

import logging
import runpy
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_LOG_BYTES = 1024 * 1024
PACKAGE = Path(__file__).absolute().parents[1]


def main() -> None:
    """Run the executor with the options of the command line; its log is kept in two files of bounded size."""
    log = RotatingFileHandler(sys.argv.pop(1), maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8")
    logging.basicConfig(handlers=[log], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # In place of this file's folder.
    sys.path[0:1] = [str(PACKAGE.parent), str(PACKAGE.parent / "site")]
    runpy.run_module(PACKAGE.name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

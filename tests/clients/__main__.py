"""Play one session with real clients: connect, plot, fail, run long, read big output, stop.

`python tests/clients [NAME…]`
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import agents
import inspector
import sdks
from home import Failure, Home
from packages import NotInstalled

CLIENTS: dict[str, Callable[[Home], None]] = {
    "inspector-2.12": inspector.play,
    "python-sdk-1.22": sdks.python("mcp==1.22.0", "python_1.py"),
    "python-sdk-2.3-legacy": sdks.python("mcp==2.3.0", "python_2.py", "legacy"),
    "python-sdk-2.3": sdks.python("mcp==2.3.0", "python_2.py", sdks.NEWEST),
    "typescript-sdk-1.32": sdks.typescript("@modelcontextprotocol/sdk@1.32.2", "typescript_1.mjs"),
    "typescript-sdk-2.4-legacy": sdks.typescript("@modelcontextprotocol/client@2.4.0", "typescript_2.mjs", "legacy"),
    "typescript-sdk-2.4": sdks.typescript("@modelcontextprotocol/client@2.4.0", "typescript_2.mjs", sdks.NEWEST),
    "claude-code-2.1": agents.CLAUDE_CODE,
    "codex-0.171": agents.CODEX,
    "gemini-cli-0.61": agents.GEMINI_CLI,
}


def main() -> None:
    """Play; exit with 1 if a client failed. One that cannot be installed is left out."""
    parser = argparse.ArgumentParser(prog="python tests/clients", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", nargs="*", help=f"a client, or the beginning of its name: {', '.join(CLIENTS)}")
    wanted = tuple(parser.parse_args().name)
    chosen = {name: play for name, play in CLIENTS.items() if not wanted or name.startswith(wanted)}
    if not chosen:
        parser.error(f"no client is called {' or '.join(wanted)}")
    sys.exit(1 if [name for name, play in chosen.items() if not _passes(name, play)] else 0)


def _passes(name: str, play: Callable[[Home], None]) -> bool:
    began = time.monotonic()
    with Home() as home:
        try:
            play(home)
            home.check_that_all_ended()
        except NotInstalled as reason:
            print(f"{name}: left out: {reason}", flush=True)
        except Failure as failure:
            print(f"{name}: FAILED: {failure}", flush=True)
            return False
        else:
            print(f"{name}: passed in {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()

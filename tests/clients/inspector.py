"""MCP's Inspector on its command line: a call and every list, in each era, and its check of the tools' schemas."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

from home import Failure, Home
from packages import NotInstalled, npm
from session import PLOT, of_blocks, shows_the_plot

# It needs a newer Node than many computers have.
PACKAGES = ("@modelcontextprotocol/inspector@2.12.0", "node@24.21.0")
ERAS = ("legacy", "auto", "modern")
TIMEOUT = 120.0
CALL = ["tools/call", "--tool-name", "run_code_quick", "--tool-args-json", json.dumps({"code": PLOT})]
# By the field of the result that has the contents. The call's picture becomes a resource.
METHODS = {
    "content": CALL,
    "tools": ["tools/list", "--strict"],
    "prompts": ["prompts/list"],
    "resources": ["resources/list"],
    "resourceTemplates": ["resources/templates/list"],
}


def play(home: Home) -> None:
    """Ask for everything in each era; raise Failure at what is missing or objected to."""
    path = f"{npm(*PACKAGES) / 'node_modules' / '.bin'}{os.pathsep}{home.environment['PATH']}"
    inspector = shutil.which("mcp-inspector", path=path)
    if not inspector:
        raise NotInstalled("the package has no mcp-inspector")
    home.environment["PATH"] = path
    for era in ERAS:
        for field, method in METHODS.items():
            result = _ask(home, [inspector, "--cli", "--protocol-era", era, "--format", "json", "--method", *method])
            if not result.get(field) or (field == "content" and not shows_the_plot(of_blocks(result[field]))):
                raise Failure(f"{era}, {method[0]}: {json.dumps(result)[:1_000]}")


def _ask(home: Home, command: list[str]) -> dict[str, Any]:
    settings = [part for name, value in home.settings.items() for part in ("-e", f"{name}={value}")]
    done = subprocess.run(
        [*command, *settings, home.program],
        env=home.environment,
        cwd=home.folder,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    # Warnings do not count in the exit code.
    objects = re.search(r"^(Error|Warning): ", done.stderr, re.MULTILINE)
    if done.returncode != 0 or objects:
        raise Failure(f"{' '.join(command[2:])}: exit code {done.returncode}: {done.stderr.strip()[:1_000]}")
    result: dict[str, Any] = json.loads(done.stdout)["result"]
    return result

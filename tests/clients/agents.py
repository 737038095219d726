"""The session by agents on the command line, each with a home of its own and a model on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from home import Failure, Home
from model import DONE, Anthropic, Gemini, Model, OpenAI, serving
from packages import NotInstalled, npm
from session import Session

TIMEOUT = 300.0
NAME = "smart-colab"


@dataclass(frozen=True)
class Start:
    """How an agent is started."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Agent:
    """An agent; called with a home, it plays the session."""

    package: str
    command: str
    model: type[Model]
    # Writes the agent's configuration for a model at this address.
    configure: Callable[[Home, str], Start]

    def __call__(self, home: Home) -> None:
        """Play the session; raise Failure at the first result that is wrong."""
        path = f"{npm(self.package) / 'node_modules' / '.bin'}{os.pathsep}{home.environment['PATH']}"
        program = shutil.which(self.command, path=path)
        if not program:
            raise NotInstalled(f"the package has no {self.command}")
        session = Session()
        with serving(self.model(session)) as address:
            start = self.configure(home, address)
            environment = home.environment | {"PATH": path} | start.environment
            try:
                done = subprocess.run(
                    [program, *start.arguments],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    env=environment,
                    cwd=home.folder,
                    encoding="utf-8",
                    timeout=TIMEOUT,
                )
            except subprocess.TimeoutExpired:
                raise Failure(f"not done after {TIMEOUT:.0f} s and step {session.checked}") from None
        if session.fault:
            raise Failure(session.fault)
        said = (done.stdout + done.stderr)[-1_500:]
        if not session.is_complete or done.returncode != 0 or DONE not in done.stdout:
            raise Failure(f"exit code {done.returncode} after step {session.checked}: {said}")


def _server(home: Home) -> dict[str, object]:
    return {"command": home.program, "args": [], "env": home.settings}


def _claude(home: Home, address: str) -> Start:
    config = json.dumps({"mcpServers": {NAME: _server(home)}})
    arguments = ["-p", "go", "--model", "claude-sonnet-4-5", "--mcp-config", config, "--strict-mcp-config"]
    return Start(
        [*arguments, "--allowedTools", f"mcp__{NAME}"],
        {
            "ANTHROPIC_BASE_URL": address,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
    )


def _codex(home: Home, address: str) -> Start:
    folder = home.folder / ".codex"
    folder.mkdir()
    # JSON's strings are TOML's too.
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in home.settings.items())
    config = f"""\
model = "a-model"
model_provider = "loopback"
approval_policy = "never"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.loopback]
name = "loopback"
base_url = "{address}/v1"
env_key = "LOOPBACK_KEY"
wire_api = "responses"

[mcp_servers.{NAME}]
command = {json.dumps(home.program)}
tool_timeout_sec = 300

[mcp_servers.{NAME}.env]
{settings}
"""
    (folder / "config.toml").write_text(config, encoding="utf-8")
    arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go"]
    return Start(arguments, {"LOOPBACK_KEY": "none", "CODEX_HOME": str(folder)})


def _gemini(home: Home, address: str) -> Start:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
        "mcpServers": {NAME: {**_server(home), "trust": True}},
    }
    folder = home.folder / ".gemini"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return Start(
        ["-p", "go", "--yolo", "-m", "gemini-2.5-flash"],
        {
            "GOOGLE_GEMINI_BASE_URL": address,
            # It has the shape of a key and is none.
            "GEMINI_API_KEY": "AIza" + "x" * 35,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "NO_BROWSER": "1",
        },
    )


CLAUDE_CODE = Agent("@anthropic-ai/claude-code@2.1.332", "claude", Anthropic, _claude)
CODEX = Agent("@openai/codex@0.171.0", "codex", OpenAI, _codex)
GEMINI_CLI = Agent("@google/gemini-cli@0.61.0", "gemini", Gemini, _gemini)

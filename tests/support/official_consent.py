"""Assign a machine by the official MCP client, whose user answers: `python official_consent.py PROGRAM HOME COLAB`."""

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, TextContent


class User:
    """Answers every question in the same way."""

    def __init__(self) -> None:
        """Have no answer yet."""
        self.answer = "cancel"

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Read the question, and answer it."""
        assert isinstance(params, ElicitRequestFormParams), params
        assert "compute units" in params.message, params
        return ElicitResult.model_validate({"action": self.answer, "content": {} if self.answer == "accept" else None})


async def main(program: str, home: str, colab: str) -> None:
    """Print each answer, and the code of what came of it, in both eras."""
    environment = {
        **os.environ,
        "HOME": str(Path(home, "home")),
        "SMART_COLAB_DATA_DIR": str(Path(home, "data")),
        "CLOUDSDK_CONFIG": str(Path(home, "home/.config/gcloud")),
        "GOOGLE_SERVICES_URL": colab,
    }
    environment.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    server = StdioServerParameters(command=program, env=environment)
    for mode in ("legacy", "2026-07-28"):
        user = User()
        async with Client(server, mode=mode, elicitation_callback=user) as client:
            print(client.protocol_version)
            for user.answer in ("accept", "decline", "cancel"):
                result = await client.call_tool("assign_colab_runtime", {"confirm": True})
                content = result.content[0]
                assert isinstance(content, TextContent)
                print(user.answer, json.loads(content.text)["code"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

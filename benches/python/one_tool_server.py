"""A minimal MCP server in Python: one tool, which runs code in this process."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer

server = MCPServer("one-tool")
namespace: dict[str, Any] = {}


@server.tool()
def run_code(code: str) -> str:
    """Run code."""
    exec(code, namespace)  # noqa: S102
    return "done"


server.run()

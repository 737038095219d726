"""MCP's Python SDK of 2025 as a client: `python python_1.py PROGRAM`.

Each line of stdin is a call, each line of stdout its result.
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters, stdio_client


async def main(program: str) -> None:
    """Make the calls, until stdin ends."""
    server = StdioServerParameters(command=program, env=dict(os.environ))
    async with stdio_client(server) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        await session.initialize()
        # The client checks results by the schemas in this list.
        await session.list_tools()
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            result = await session.call_tool(call["tool"], call["arguments"])
            print(result.model_dump_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

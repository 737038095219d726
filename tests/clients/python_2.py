"""MCP's Python SDK as a client: `python python_2.py PROGRAM legacy|VERSION`.

Each line of stdin is a call, each line of stdout its result.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters


async def main(program: str, mode: str) -> None:
    """Make the calls, until stdin ends."""
    server = StdioServerParameters(command=program, env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        await client.list_tools()
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            result = await client.call_tool(call["tool"], call["arguments"])
            print(result.model_dump_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

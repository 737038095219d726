"""Drive the program through every tool and resource by the official MCP client: `python official_client.py PROGRAM HOME LINE`.

Checks each result against the protocol's types. On success the exit code is 0 and
each mode prints one line.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent
from official_resources import Ears, every_resource

PATIENCE = 120.0
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n'done'"


def facts(result: CallToolResult) -> dict[str, Any]:
    """Return a report's structure, or the facts that begin an execution's answer."""
    first = result.content[0]
    assert isinstance(first, TextContent), result
    read: dict[str, Any] = json.loads(first.text)
    assert result.structured_content in (None, read), result
    return read


def column(result: CallToolResult, name: str) -> list[str]:
    """Return a column of a list."""
    table = result.content[-1]
    assert isinstance(table, TextContent), result
    heading, *rows = [line.split("\t") for line in table.text.splitlines() if not line.startswith("[")]
    return [row[heading.index(name)] for row in rows]


class Tour:
    """Calls tools and records which."""

    def __init__(self, client: Client, tools: dict[str, Any]) -> None:
        self.client = client
        self.tools = tools
        self.called: set[str] = set()

    async def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """Assert success."""
        self.called.add(tool)
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result
        return result

    async def every_tool(self, session: str) -> str:
        """Use each tool once; return the id of the job that counted to eight."""
        assert facts(await self.call("check_colab_connection"))["status"] == "connected"
        assert facts(await self.call("probe_colab_environment"))["compute"]["cpu_count"] > 0

        shown = await self.call("run_code_quick", code=PLOT, session=session)
        pictures = [block for block in shown.content if isinstance(block, ImageContent)]
        assert [base64.b64decode(picture.data)[:4] for picture in pictures] == [b"\x89PNG"], shown
        progress: list[float] = []

        async def hear(amount: float, _total: float | None, _message: str | None) -> None:
            progress.append(amount)

        code = "import time\nx = 1\nfor i in range(8):\n    print(i, flush=True)\n    time.sleep(0.2)"
        arguments = {"code": code, "session": session, "timeout_sec": 60, "checkpoint_name": session}
        self.called.add("run_code_long")
        long = await self.client.call_tool("run_code_long", arguments, progress_callback=hear)
        assert not long.is_error, long
        assert progress == sorted(set(progress)), progress
        assert progress
        again = await self.call("get_output", job_id=facts(long)["job_id"])
        assert isinstance(again.content[1], TextContent)
        assert again.content[1].text.splitlines() == [str(i) for i in range(8)], again

        assert "x" in column(await self.call("list_colab_variables", session=session), "name")
        name = f"{session}.txt"
        await self.call("run_code_quick", code=f"open({name!r}, 'w').write('12345')", session=session)
        assert name in column(await self.call("list_colab_files", name="*.txt"), "name")
        looked = await self.call("read_colab_file", path=name)
        assert isinstance(looked.content[1], TextContent)
        assert looked.content[1].text.strip() == "12345", looked
        if "download_from_colab" in self.tools:
            report = facts(await self.call("download_from_colab", remote_path=name))
            assert Path(report["local_path"]).read_text() == "12345", report
            folder = f"folder_{session}"
            code = f"import pathlib\np = pathlib.Path({folder!r}, 'sub')\np.mkdir(parents=True)\n_ = (p / 'a').write_text('A')"
            await self.call("run_code_quick", code=code, session=session)
            report = facts(await self.call("download_from_colab", remote_path=folder))
            assert Path(report["local_path"], "sub", "a").read_text() == "A", report
            mirrored = await self.call("mirror_folder", remote_path=folder, to=f"{folder}_here")
            assert facts(mirrored), mirrored
            await self.call("mirror_folder", remote_path=folder, stop=True)
        if "upload_to_colab" in self.tools:
            report = facts(await self.call("upload_to_colab", local_path=report["local_path"], remote_path="up/"))
            assert report["status"] == "complete" and report["files"] == 1, report
        if "run_chunked_operation" in self.tools:
            chunks = {"setup_code": "base = 10", "loop_code": "base + i", "n_iterations": 4, "batch_size": 2}
            done = await self.call(
                "run_chunked_operation", **chunks, checkpoint_name=f"chunks_{session}", session=session
            )
            assert facts(done)["completed"] == 4, done
        if "get_checkpoint" in self.tools:
            for operation in (f"chunks_{session}", session):
                await self.call("get_checkpoint", operation=operation)
        assert session in column(await self.call("list_checkpoints"), "operation")
        assert facts(await self.call("delete_checkpoint", operation=session))["files"] > 0
        exported = facts(await self.call("export_notebook", session=session))
        assert json.loads(Path(exported["path"]).read_text())["nbformat"] == 4, exported
        await self.call("save_session", session=session, path="saved.zip")
        await self.call("load_session", path="saved.zip", session=session, overwrite=True)
        assert "x" in facts(await self.call("cleanup_colab", session=session))["cleared_variables"]
        jobs = column(await self.call("list_jobs", session=session), "job_id")
        assert facts(long)["job_id"] in jobs, jobs
        ended = facts(await self.call("interrupt_execution", job_id=facts(long)["job_id"]))
        assert ended["state"] == "succeeded", ended
        restarted = facts(await self.call("restart_session", session=session))
        assert restarted["session"]["name"] == session, restarted
        await self.every_tool_for_notebooks(f"{session}.ipynb")
        await self.every_tool_for_colab()
        return str(facts(long)["job_id"])

    async def every_tool_for_notebooks(self, name: str) -> None:
        """Make a notebook, edit it and run it, once with each tool."""
        await self.call("open_notebook", notebook=name, create=True)
        cell = facts(await self.call("add_code_cell", code="x = 1"))["cell_id"]
        await self.call("add_text_cell", content="# Text", cell_index=0)
        extra = facts(await self.call("add_code_cell", code="1 / 0"))["cell_id"]
        await self.call("delete_cell", cell_id=extra)
        await self.call("update_cell", cell_id=cell, content="print('six', 2 * 3)")
        await self.call("move_cell", cell_id=cell, cell_index=0)
        await self.call("run_code_cell", cell_id=cell)
        await self.call("run_cells")
        run = await self.call("run_notebook")
        assert column(run, "state") == ["succeeded"], run
        home = json.loads(Path(facts(run)["executed_notebook"]).read_text())
        assert "six 6" in str(home["cells"][0]["outputs"]), home
        assert "six 6" in str((await self.call("get_cells")).content)


    async def every_tool_for_colab(self) -> None:
        """Ask for a tab and for machines, where there are no browser and no sign-in."""
        assert facts(await self.call("open_colab_browser_connection"))["state"] == "waiting"
        for name, arguments in (
            ("list_colab_tools", {}),
            ("call_colab_tool", {"name": "get_cells"}),
            ("list_colab_runtimes", {}),
            ("assign_colab_runtime", {"confirm": True}),
            ("unassign_colab_runtime", {"name": "none"}),
        ):
            self.called.add(name)
            refused = await self.client.call_tool(name, arguments)
            assert refused.is_error, refused


async def listed(client: Client) -> dict[str, Any]:
    """Return the tools, with valid schemas."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
    return tools


async def main(program: str, home: str, line: str) -> None:
    """Run the tour in every mode, then without an address."""
    folders = {
        "HOME": "home",
        "SMART_COLAB_DATA_DIR": "data",
        "LOCAL_SAVE_DIR": "results",
        "CHECKPOINT_DIR": "checkpoints",
    }
    environment = {name: str(Path(home) / folder) for name, folder in folders.items()}
    environment["BROWSER"] = "no-such-browser"
    server = StdioServerParameters(command=program, env={**environment, "COLAB_URL": line})
    for mode in ("legacy", "auto", "2026-07-28"):
        ears = Ears()
        async with Client(server, mode=mode, read_timeout_seconds=PATIENCE, message_handler=ears) as client:
            tour = Tour(client, await listed(client))
            await tour.call("connect_colab", url=line)
            job = await tour.every_tool(f"official-{mode}")
            assert tour.called == set(tour.tools), set(tour.tools) ^ tour.called
            failed = await client.call_tool("run_code_quick", {"code": "1 / 0", "session": f"official-{mode}"})
            assert failed.is_error, failed
            assert facts(failed)["code"] == "python_error", failed
            count = await every_resource(client, ears, Path(home), job)
            print(f"{mode}: {client.protocol_version}, {len(tour.called)} tools, {count} resources")
    # Otherwise the connection that connect_colab saved would be used.
    (Path(home) / "data" / "connection.json").unlink()
    lost = StdioServerParameters(command=program, env=environment)
    async with Client(lost, read_timeout_seconds=PATIENCE) as client:
        report = await client.call_tool("check_colab_connection", {})
        assert facts(report)["status"] == "disconnected", report
        for name in ("list_colab_files", "list_colab_variables", "probe_colab_environment"):
            refused = await client.call_tool(name, {})
            assert refused.is_error, refused


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

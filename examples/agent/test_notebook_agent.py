"""The notebook agent with the real bridge and executor, and a scripted model."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import notebook_agent
from agent import Limits, server, work
from fake_api import FakeApi, Step, serving
from mcp import Client
from models import Anthropic
from test_agent import results


def test_a_cell_that_fails_is_mended_and_the_notebook_runs_from_top_to_bottom() -> None:
    name = f"agent-{uuid.uuid4().hex[:8]}.ipynb"
    steps: list[Step] = [
        ("Plan: data, then the slope.", [("open_notebook", {"notebook": name, "create": True})]),
        ("What it does.", [("add_text_cell", {"content": "# A slope"})]),
        ("The data.", [("add_code_cell", {"code": "points = [0, 3, 6]"})]),
        ("The result.", [("add_code_cell", {"code": "print('slope', point[1])"})]),
        ("Run it.", [("run_notebook", {})]),
        ("A typo.", [("update_cell", {"cell_index": 2, "content": "print('slope', points[1])"})]),
        ("Go on.", [("run_notebook", {"from_cell": "2"})]),
        ("From top to bottom.", [("run_notebook", {"restart": True})]),
        ("The slope is 3.", []),
    ]
    api = FakeApi(steps)

    async def main(url: str) -> str:
        async with Client(server()) as client:
            model = Anthropic(url, "k3y", "a-model")
            return await work("Find the slope", model, client, Limits(), notebook_agent.SYSTEM, show=lambda _: None)

    with serving(api.reply) as url:
        assert asyncio.run(main(url)) == "The slope is 3."
    assert "run_notebook" in api.requests[0]["system"]
    failed, _ = results(api.requests[5])
    assert "NameError" in failed
    assert "from_cell" in failed
    done = api.requests[-1]["messages"][-1]["content"][0]["content"][0]["text"]
    facts = json.loads(done.splitlines()[0])
    assert (facts["state"], facts["succeeded"]) == ("succeeded", 2)
    cells = json.loads(Path(facts["executed_notebook"]).read_text(encoding="utf-8"))["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2]
    assert "".join(cells[2]["outputs"][0]["text"]) == "slope 3\n"

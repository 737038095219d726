"""Have the official MCP client's user pick prompts and answer questions: `python official_user.py PROGRAM HOME PYTHON`."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitRequestParams, ElicitResult, TextContent
from mcp_types import PromptReference

DELETES = "import os, contextlib\nwith contextlib.suppress(OSError): os.remove('/smart-colab/none')"
SLEEP = "import time; time.sleep(600)"


class User:
    """Answers each question with the next of these answers, and remembers the questions."""

    def __init__(self) -> None:
        """Have no answers yet."""
        self.answers: list[dict[str, Any]] = []
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Read the question, and answer it."""
        assert isinstance(params, ElicitRequestFormParams), params
        self.asked.append(params.message)
        return ElicitResult.model_validate(self.answers.pop(0))


def facts(result: CallToolResult) -> dict[str, Any]:
    """Return the first line."""
    content = result.content[0]
    assert isinstance(content, TextContent), result
    read: dict[str, Any] = json.loads(content.text.splitlines()[0])
    return read


def said(action: str, **content: str) -> dict[str, Any]:
    """Return an answer."""
    return {"action": action, "content": content if action == "accept" else None}


async def pick_prompts(client: Client) -> None:
    """List the prompts, have an argument completed, and get each with its arguments filled in."""
    prompts = (await client.list_prompts()).prompts
    reference = PromptReference(type="ref/prompt", name="free_memory")
    completed = await client.complete(reference, {"name": "what", "value": "g"})
    assert completed.completion.values == ["gpu"], completed
    for prompt in sorted(prompts, key=lambda prompt: prompt.name):
        arguments = {argument.name: f"<{argument.name}>" for argument in prompt.arguments or []}
        (message,) = (await client.get_prompt(prompt.name, arguments)).messages
        assert isinstance(message.content, TextContent), message
        assert all(value in message.content.text for value in arguments.values()), message
        print(prompt.name, *arguments)


async def answer_questions(client: Client, user: User) -> None:
    """Choose where to compute, and decide about what runs there."""

    async def call(tool: str, *answers: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        user.answers, user.asked = list(answers), []
        found = facts(await client.call_tool(tool, arguments))
        assert not user.answers, found
        return found

    code = {"code": "print(1)"}
    print((await call("run_code_quick", said("decline"), **code))["code"])
    secret = said("accept", address="https://example.org/#s3cret-s3cret-s3cret-s3cret")
    refused = await call("run_code_quick", secret, **code)
    assert "smart-colab connect" in refused["hint"] and "s3cret" not in str(refused), refused
    print((await call("run_code_quick", said("accept", address="local"), **code))["state"])
    print((await call("run_code_quick", said("decline"), code=DELETES))["code"])
    assert user.asked[0].startswith("Run this code? The policy") and "line 2: deletes" in user.asked[0], user.asked
    print((await call("run_code_quick", said("accept"), code=DELETES))["state"])
    name = f"op-{client.protocol_version}"
    loop = {"checkpoint_name": name, "n_iterations": 1, "setup_code": DELETES, "loop_code": "1"}
    assert (await call("run_chunked_operation", said("decline"), **loop))["code"] == "declined"
    assert name not in str(await call("list_checkpoints"))  # nothing is left that could be resumed
    done = await call("run_chunked_operation", said("accept"), **loop)
    assert done["completed"] == 1, done
    # A yes is good for one run.
    print((await call("run_code_long", said("cancel"), code=DELETES))["code"])
    print((await call("run_code_quick", code="import socket; socket.create_connection(('x.invalid', 9))"))["code"])
    job = (await call("run_code_long", code=SLEEP, session="other", wait_sec=0))["job_id"]
    print((await call("restart_session"))["session"]["state"])  # nothing runs there: no question
    print((await call("restart_session", said("decline"), session="other"))["code"])
    assert "session other" in user.asked[0], user.asked
    print((await call("cleanup_colab", said("decline")))["code"])
    await call("cleanup_colab", said("accept"))
    await call("cleanup_colab", variables=["x"])  # it is named, so it is meant
    ended = await call("restart_session", said("accept"), session="other", remove=True)
    assert ended["ended_jobs"] == [job], ended


async def main(program: str, home: str, python: str) -> None:
    """Print what came of each step, in both eras."""
    environment = {
        **os.environ,
        "HOME": str(Path(home, "home")),
        "SMART_COLAB_DATA_DIR": str(Path(home, "data")),
        "LOCAL_SAVE_DIR": str(Path(home, "results")),
        "SMART_COLAB_PYTHON": python,
        "SMART_COLAB_POLICY": "confirm,network=deny",
    }
    server = StdioServerParameters(command=program, env=environment)
    for mode in ("legacy", "2026-07-28"):
        user = User()
        async with Client(server, mode=mode, elicitation_callback=user) as client:
            print(client.protocol_version)
            await pick_prompts(client)
            await answer_questions(client, user)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

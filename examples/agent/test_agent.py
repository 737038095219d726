"""The loop with the real bridge and executor, and a scripted model. `BRIDGE` and `COLAB_URL` name them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent import Limits, server, work
from fake_api import FakeApi, Step, serving
from mcp import Client
from models import Anthropic, Model, ModelError, OpenAI

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('slope', 3)"
STEPS: list[Step] = [
    ("Plan: plot, then report.", [("run_code_quick", {"code": PLOT, "session": "agent"})]),
    ("And twice at once.", [("run_code_quick", {"code": f"print({i} + 1)", "session": "agent"}) for i in (40, 41)]),
    ("The slope is 3.", []),
]


def anthropic(url: str) -> Model:
    return Anthropic(url, "k3y", "a-model")


def openai(url: str) -> Model:
    return OpenAI(f"{url}/v1", "k3y", "a-model")


def run(api: FakeApi, make: Any, limits: Limits | None = None) -> str:
    async def main(url: str) -> str | ModelError:
        async with Client(server()) as client:
            try:
                return await work("Find the slope", make(url), client, limits or Limits(), show=lambda _: None)
            except ModelError as error:
                return error

    with serving(api.reply) as url:
        said = asyncio.run(main(url))
    if isinstance(said, ModelError):
        raise said
    return said


def results(request: dict[str, Any]) -> tuple[str, int]:
    """Return the text of the newest observations in a request, and how many pictures they show."""
    newest = []
    for message in reversed(request["messages"]):
        if message["role"] == "assistant":
            break
        newest.append(message["content"])
    text = str(newest)
    return text, text.count("'type': 'image")


@pytest.mark.parametrize("make", [anthropic, openai])
def test_the_model_sees_text_and_pictures_and_its_last_words_are_returned(make: Any) -> None:
    api = FakeApi(STEPS)
    assert run(api, make) == "The slope is 3."
    assert len(api.requests) == 3
    text, pictures = results(api.requests[1])
    assert "slope 3" in text
    assert pictures == 1
    text, pictures = results(api.requests[2])
    assert "41" in text
    assert "42" in text
    assert pictures == 0


@pytest.mark.parametrize("make", [anthropic, openai])
def test_an_overloaded_api_is_asked_again_and_a_refusal_ends_the_work(make: Any) -> None:
    api = FakeApi([("Done.", [])], faults=[529, 429])
    assert run(api, make) == "Done."
    with pytest.raises(ModelError, match="401") as refused:
        run(FakeApi([("Done.", [])], faults=[401]), make)
    assert "k3y" not in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "named"),
    [(Limits(steps=2), "2 steps"), (Limits(chars=10), "10 characters"), (Limits(seconds=0), "0 seconds")],
)
def test_at_a_limit_the_model_is_asked_to_sum_up(limits: Limits, named: str) -> None:
    look: Step = ("Again.", [("list_sessions", {})])
    api = FakeApi([look])
    assert run(api, anthropic, limits) == "Again."
    last = api.requests[-1]["messages"][-1]
    assert named in last["content"]
    assert len(api.requests) <= 3


def test_a_fault_of_the_models_call_is_an_observation() -> None:
    wrong = [("no_such_tool", {}), ("run_code_quick", "{not json"), ("run_code_quick", {"code": 7})]
    api = FakeApi([("Try.", wrong), ("Done.", [])])
    assert run(api, openai) == "Done."
    told = [message["content"] for message in api.requests[1]["messages"] if message["role"] == "tool"]
    assert "there is no tool no_such_tool" in told[0]
    assert "not a JSON object" in told[1]
    assert "code" in told[2]


def test_the_keys_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k3y")
    code = "import os\nprint([name for name in os.environ if 'API_KEY' in name])"
    api = FakeApi([("Look.", [("run_code_quick", {"code": code, "session": "agent"})]), ("Done.", [])])
    assert run(api, anthropic) == "Done."
    env = server().env
    assert env is not None
    assert "k3y" not in env.values()

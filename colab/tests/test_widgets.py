"""Widgets: messages of their models, as sent by ipywidgets, become updates of the display."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Executor

from smart_colab_executor.kernels.widget_text import text
from smart_colab_executor.kernels.widgets import VIEW, Widgets

# Sends the messages of ipywidgets 8 and tqdm 4.70 without these packages.
STAND_IN = f"""
kernel = get_ipython().kernel
def send(kind, content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
def model(name, comm_id, **state):
    state = {{"_model_name": name, "_model_module": "@jupyter-widgets/controls", **state}}
    send("comm_open", {{"comm_id": comm_id, "target_name": "jupyter.widget", "data": {{"state": state}}}})
def change(comm_id, **state):
    send("comm_msg", {{"comm_id": comm_id, "data": {{"method": "update", "state": state, "buffer_paths": []}}}})
def show(comm_id, plain):
    display({{"text/plain": plain, "{VIEW}": {{"model_id": comm_id}}}}, raw=True)
def bar(name, total):
    model("FloatProgressModel", name + "bar", value=0.0, min=0.0, max=float(total), bar_style="")
    model("HTMLModel", name + "left", value="")
    model("HTMLModel", name + "right", value="")
    model("HBoxModel", name, children=["IPY_MODEL_" + name + part for part in ("left", "bar", "right")])
    show(name, f"  0%|          | 0/{{total}}")
def step(name, n, total):
    change(name + "bar", value=float(n))
    change(name + "left", value=f"{{100 * n // total}}%")
    change(name + "right", value=f"\\u2007{{n}}/{{total}}\\u2007[00:00&lt;00:00]")
"""


@pytest.fixture
def session(executor: Executor) -> Iterator[str]:
    """Name a new session in which widgets can be created."""
    name = f"w-{uuid.uuid4().hex[:8]}"
    executor.run(STAND_IN, session=name)
    yield name
    executor.call("DELETE", f"/sessions/{name}")


def shown(events: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Return the texts of displays and streams, and whether each keeps changing."""
    texts = [(event.get("text") or event["data"]["text/plain"], event.get("live", False)) for event in events]
    return [(text.strip(), live) for text, live in texts]


def test_a_widget_with_a_truncated_repr_shows_its_whole_text(executor: Executor, session: str) -> None:
    """The repr of ipywidgets 8.1 is `HTML(value='<b>xy</b> <b>x…`."""
    job = executor.run(
        f"model('HTMLModel', 'h', value='<b>xy</b> ' * 200)\nshow('h', {'HTML(' + 'x' * 105 + '…'!r})", session=session
    )
    assert {text for text, _ in shown(job.of("display_data"))} == {("xy " * 200).strip()}
    job = executor.run("model('HTMLModel', 'i', value='ab')\nshow('i', 'HTML(value=ab)')", session=session)
    assert {text for text, _ in shown(job.of("display_data"))} == {"HTML(value=ab)"}


def test_captured_output_names_its_output_widget(executor: Executor, session: str) -> None:
    code = """model('OutputModel', 'o', outputs=[])
change('o', msg_id='x'); print('in', flush=True); display('shown'); change('o', msg_id='')
print('out', flush=True); change('o', msg_id='x'); 1/0"""
    job = executor.run(code, session=session)
    where = [(event["type"], event.get("widget")) for event in job.events[1:-2]]
    assert where == [("stream", "o"), ("display_data", "o"), ("stream", None), ("error", "o")]
    assert "widget" not in executor.run("print('next')", session=session).of("stream")[0]


def test_a_finished_bar_is_shown_before_later_output(executor: Executor, session: str) -> None:
    code = "bar('a', 4)\nfor n in range(5): step('a', n, 4)\nchange('abar', bar_style='success')\nprint('next')"
    job = executor.run(code, session=session)
    full = "100%|██████████| 4/4 [00:00<00:00]"
    assert shown(job.events[1:-2]) == [("0%|          | 0/4", True), (full, False), ("next", False)]
    first, last = job.of("display_data")
    assert last["update"]
    assert last["display_id"] == first["display_id"]
    assert executor.call("GET", f"/jobs/{job.job['id']}/log").body.decode() == f"{full}\nnext\n"


def test_a_stalled_bar_is_shown_up_to_date(executor: Executor, session: str) -> None:
    code = "bar('a', 4)\nstep('a', 1, 4)\nimport time\nfor _ in range(3000): time.sleep(0.01)"
    job = executor.submit(code, session=session)
    state = ("25%|██        | 1/4 [00:00<00:00]", True)
    while state not in shown([event for event in executor.follow_once(job) if event["type"] == "display_data"]):
        assert executor.get(f"/jobs/{job}")["job"]["state"] in ("queued", "running")
    executor.post(f"/jobs/{job}/interrupt")
    ended = executor.follow(job)
    assert shown(ended.of("display_data"))[-1] == (state[0], False)


def test_a_closed_bar_is_no_longer_shown(executor: Executor, session: str) -> None:
    code = "bar('a', 4)\nstep('a', 4, 4)\nsend('comm_close', {'comm_id': 'a', 'data': {}})\nchange('abar', value=1.0)"
    job = executor.run(code, session=session)
    assert shown(job.of("display_data"))[-1] == ("", False)
    assert job.of("widgets") == []


def test_a_later_cell_updates_the_bar_and_keeps_its_state(executor: Executor, session: str) -> None:
    executor.run("bar('a', 4)", session=session)
    job = executor.run("step('a', 2, 4)", session=session)
    assert shown(job.of("display_data")) == [("50%|█████     | 2/4 [00:00<00:00]", False)]
    (kept,) = job.of("widgets")
    states = executor.get(f"/jobs/{job.job['id']}/blobs/{kept['states']['blob']}")
    assert states["abar"]["model_name"] == "FloatProgressModel"
    assert states["abar"]["state"]["value"] == 2.0
    assert set(states) == {"abar", "aleft", "aright"}


def test_an_unchanged_widget_keeps_its_librarys_text(executor: Executor, session: str) -> None:
    code = "model('ButtonModel', 'b', description='Go')\nshow('b', 'Button(…)')\nchange('b', tooltip='x')"
    job = executor.run(code, session=session)
    assert shown(job.of("display_data")) == [("Button(…)", False)]
    job = executor.run("model('LabelModel', 'l', value='x')\nshow('l', 'Label(…)')", session=session)
    assert shown(job.of("display_data"))[-1] == ("Label(…)", False)
    job = executor.run("change('l', value='y')", session=session)
    assert shown(job.of("display_data")) == [("y", False)]


def model(name: str, **state: Any) -> dict[str, Any]:
    return {"_model_name": name, **state}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (model("IntProgressModel", value=7, max=10, description="Load"), "Load |███████   | 7/10"),
        (model("FloatProgressModel", value=0.5, max=1.0), "|█████     | 0.5/1"),
        (model("HTMLModel", value="<b>a</b> &lt; b<br>c"), "a < b\nc"),
        (model("IntSliderModel", value=5, description="x"), "x 5"),
        (model("DropdownModel", _options_labels=["a", "b"], index=1), "b"),
        (model("SelectMultipleModel", _options_labels=["a", "b"], index=[0, 1]), "a, b"),
        (model("ButtonModel", description="Go"), "[Go]"),
        (model("OutputModel", outputs=[{"output_type": "stream", "text": "in\n"}]), "in\n"),
        (model("VBoxModel", children=["IPY_MODEL_l", "IPY_MODEL_gone", "IPY_MODEL_l"]), "label\nlabel"),
        (model("HBoxModel", children=["IPY_MODEL_l", "IPY_MODEL_p"]), "label |          | 0/3"),
        (model("VBoxModel", children=["IPY_MODEL_root"]), ""),
        (model("FloatProgressModel", value="x"), " x/None"),
        (model("AnyModel"), None),
    ],
)
def test_widgets_are_shown_as_text(state: dict[str, Any], expected: str | None) -> None:
    models = {
        "root": state,
        "l": model("LabelModel", value="label"),
        "p": model("IntProgressModel", value=0, max=3),
    }
    assert text(models, "root") == expected


def test_kept_widget_state_is_bounded() -> None:
    widgets = Widgets()
    for number in range(30_000):
        state = {"_model_name": "LabelModel", "value": "x" * 1000}
        content = {"comm_id": str(number), "target_name": "jupyter.widget", "data": {"state": state}}
        assert widgets.take("comm_open", content) == ()
    ((_, kept),) = widgets.states()
    assert 3_000 < len(kept["states"]) < 5_000

"""What matplotlib's and plotly's figures look like where there is no window and no page."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Executor, Finished

from smart_colab_executor.figures import _AfterImport, summary

AGG = "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
FIGURE = """
import plotly.graph_objects as go
fig = go.Figure([go.Scatter(y=[1, 2]), go.Bar(y=[3, 1])], layout={'title': 'Loss'})
"""
SUMMARY = "Figure with 2 traces (scatter, bar): Loss"
KALEIDO = """
import sys, types, importlib.machinery
sys.modules['kaleido'] = types.ModuleType('kaleido')
sys.modules['kaleido'].__spec__ = importlib.machinery.ModuleSpec('kaleido', None)
import plotly.io
calls = []
def to_image(figure, format, validate):
    calls.append(format)
    {}
plotly.io.to_image = to_image
"""


@pytest.fixture
def session(executor: Executor) -> Iterator[str]:
    """A session of the test's own."""
    name = f"f-{uuid.uuid4().hex[:8]}"
    yield name
    executor.call("DELETE", f"/sessions/{name}")


def pictures(job: Finished) -> int:
    assert job.state == "succeeded", job.events
    return sum("image/png" in event["data"] for event in job.of("display_data"))


@pytest.mark.parametrize("backend", ["", "Agg", "TkAgg"])
def test_figures_come_as_pictures_whatever_backend_the_machine_names(
    start: Callable[..., Executor], backend: str
) -> None:
    pytest.importorskip("matplotlib")
    running = start(env={"MPLBACKEND": backend} if backend else {})
    assert pictures(running.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")) == 1
    # Without `show` too, at the end of the cell.
    assert pictures(running.run("plt.plot([1, 2]);")) == 1


@pytest.mark.parametrize("backend", ["Agg", "pdf"])
def test_a_backend_without_windows_shows_pictures(executor: Executor, session: str, backend: str) -> None:
    pytest.importorskip("matplotlib")
    code = AGG.replace("Agg", backend) + "plt.plot([1, 2])\nplt.show()"
    job = executor.run(code, session=session)
    (shown,) = job.of("display_data")
    assert shown["data"]["text/plain"] == "<Figure size 640x480 with 1 Axes>"
    blob = executor.call("GET", f"/jobs/{job.job['id']}/blobs/{shown['data']['image/png']['blob']}")
    assert blob.body.startswith(b"\x89PNG")
    assert job.of("stream") == [], "no warning that nothing can be shown"


def test_a_show_means_the_figures_that_are_new(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    loop = AGG + "for i in range(3):\n    plt.figure()\n    plt.plot([i])\n    plt.savefig('a.png')\n    plt.show()"
    assert pictures(executor.run(loop, session=session)) == 3
    assert pictures(executor.run("plt.show()", session=session)) == 0
    # Changed, whether it is drawn elsewhere before or not; and it is still open for a file.
    assert pictures(executor.run("plt.plot([7])\nplt.show()", session=session)) == 1
    assert pictures(executor.run("plt.plot([8])\nplt.savefig('a.png')\nplt.show()", session=session)) == 1
    assert executor.run("print(len(plt.gcf().axes[0].lines))", session=session).stdout == "3\n"
    assert pictures(executor.run("plt.figure()\nplt.savefig('a.png')", session=session)) == 0, "nobody said show"


def test_a_library_whose_import_fails_at_first_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    waiting = _AfterImport("a_library", told.append)
    finders = [waiting, *sys.meta_path]
    monkeypatch.setattr(sys, "meta_path", list(finders))
    monkeypatch.syspath_prepend(tmp_path)
    library = tmp_path / "a_library.py"
    library.write_text("raise ImportError('something else is missing')")
    assert importlib.util.find_spec("a_library") is not None
    with pytest.raises(ImportError):
        importlib.import_module("a_library")
    assert told == []
    library.write_text("")
    module = importlib.import_module("a_library")
    del sys.modules["a_library"]
    importlib.import_module("a_library")
    del sys.modules["a_library"]
    assert told == [module]
    assert sys.meta_path == finders, "another thread may be going through them"


def test_without_the_libraries_nothing_is_imported(executor: Executor, session: str) -> None:
    code = "import sys\nprint([name for name in sys.modules if name.split('.')[0] in ('plotly', 'matplotlib')])"
    assert executor.run(code, session=session).stdout == "[]\n"


@pytest.mark.parametrize("show", ["fig", "display(fig)", "fig.show()"])
@pytest.mark.parametrize("colab", [False, True], ids=["plain", "in Colab"])
def test_a_plotly_figure_comes_as_text_and_html(executor: Executor, session: str, show: str, colab: bool) -> None:
    pytest.importorskip("plotly")
    code = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n" if colab else ""
    job = executor.run(code + FIGURE + show, session=session)
    assert job.state == "succeeded", job.events
    (shown,) = job.events[1:-1]
    assert shown["type"] == "display_data"
    text, html = shown["data"].pop("text/plain"), shown["data"].pop("text/html")
    assert text == f"{SUMMARY}\n(`pip install kaleido` gives a picture of it)"
    assert "https://cdn.plot.ly/plotly-" in html
    assert len(html) < 20_000
    assert shown["data"] == {}


def test_a_plotly_figure_has_a_picture_where_kaleido_works(executor: Executor, session: str) -> None:
    pytest.importorskip("plotly")
    executor.run(FIGURE + KALEIDO.format("return b'a picture'"), session=session)
    (shown,) = executor.run("fig", session=session).of("display_data")
    assert shown["data"]["text/plain"] == SUMMARY
    assert shown["data"]["image/png"]["bytes"] == len(b"a picture")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise RuntimeError('no\\nbrowser')", "RuntimeError: no browser"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("import time; time.sleep(600)", "it took more than 0 s"),
    ],
)
def test_a_kaleido_that_fails_is_tried_once(executor: Executor, session: str, fault: str, said: str) -> None:
    pytest.importorskip("plotly")
    executor.run(FIGURE + KALEIDO.format(fault), session=session)
    if "sleep" in fault:
        executor.run("sys.modules['_smart_colab.figures'].PICTURE_PATIENCE_SEC = 0.2", session=session)
    for _ in range(2):
        job = executor.run("fig.show()", session=session)
        assert job.state == "succeeded"
        (shown,) = job.events[1:-1]
        assert shown["data"]["text/plain"] == (f"{SUMMARY}\n(no picture of it, for kaleido does not work here: {said})")
    assert executor.run("print(calls)", session=session).stdout == "['png']\n"


def test_a_renderer_that_the_user_names_is_used(executor: Executor, session: str) -> None:
    pytest.importorskip("plotly")
    code = FIGURE + "import plotly.io\nplotly.io.renderers.default = 'json'\nprint(plotly.io.renderers.default)"
    assert executor.run(code, session=session).stdout == "json\n"


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({}, "Figure with 0 traces"),
        ({"data": [{}]}, "Figure with 1 trace (scatter)"),
        ({"data": [{"type": "pie"}] * 3, "layout": {"title": "A"}}, "Figure with 3 traces (pie): A"),
        ({"data": [], "layout": {"title": {"text": "B"}}}, "Figure with 0 traces: B"),
        ({"data": [], "layout": {"title": {"x": 0.05}}}, "Figure with 0 traces"),
    ],
)
def test_a_plotly_figure_is_said_in_a_line(figure: dict[str, Any], expected: str) -> None:
    assert summary(figure) == expected

"""Figures of matplotlib and plotly without a window or a page."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Executor, Finished

from smart_colab_executor.in_kernel.figures import _AfterImport, summary

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


def pictures(job: Finished) -> int:
    assert job.state == "succeeded", job.events
    return sum("image/png" in event["data"] for event in job.of("display_data"))


@pytest.mark.parametrize("backend", ["", "Agg", "TkAgg"])
def test_figures_are_pictures_whatever_the_machines_backend(start: Callable[..., Executor], backend: str) -> None:
    pytest.importorskip("matplotlib")
    running = start(env={"MPLBACKEND": backend} if backend else {})
    assert pictures(running.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")) == 1
    # Also without `show`, at the end of the cell.
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


PLOT = "\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
SWITCHES = [
    *(f"%matplotlib {gui}" for gui in ("notebook", "nbagg", "widget", "ipympl", "qt", "qt5", "tk", "gtk", "wx")),
    *(f"%matplotlib {gui}" for gui in ("osx", "macosx", "QtAgg")),
    "%pylab qt --no-import-all",
    "import matplotlib; matplotlib.use('GTK4Agg')",
    "import matplotlib; matplotlib.use('module://ipympl.backend_nbagg')",
    "plt.switch_backend('WebAgg')",
]


def assert_static(executor: Executor, session: str, code: str) -> None:
    """Assert that a cell shows its picture and one note, and that later cells use the inline backend."""
    job = executor.run(code, session=session)
    assert pictures(job) == 1, code
    assert job.stdout.count("figures are static pictures here]\n") == 1, code
    assert [event for event in job.of("stream") if event["name"] == "stderr"] == [], code
    state = executor.run("print(get_ipython().kernel.eventloop, 'inline' in plt.get_backend())", session=session)
    assert state.stdout == "None True\n", code
    assert pictures(state) == 0, code


@pytest.mark.parametrize("show", ["plt.show()", "None"])
def test_interactive_backends_give_pictures_in_the_same_cell(executor: Executor, session: str, show: str) -> None:
    pytest.importorskip("matplotlib")
    for switch in SWITCHES:
        assert_static(executor, session, switch + PLOT + show)
    again = executor.run(PLOT + show, session=session)
    assert pictures(again) == 1
    assert again.of("stream") == [], "said once a switch"


@pytest.mark.fresh_kernel
@pytest.mark.parametrize(
    "code",
    [
        "import matplotlib\nmatplotlib.use('QtAgg')",
        "import matplotlib\nmatplotlib.use('nbAgg')\nimport matplotlib.pyplot as plt\nplt.ion()",
        "import os\nos.environ['MPLBACKEND'] = 'TkAgg'",
        "%matplotlib notebook",
    ],
)
def test_an_interactive_backend_named_before_the_import_gives_pictures(
    executor: Executor, session: str, code: str
) -> None:
    pytest.importorskip("matplotlib")
    assert_static(executor, session, code + PLOT)


AS_AT_THE_START = """
import matplotlib.pyplot as plt
plt.close("all")
%matplotlib inline
%config InlineBackend.close_figures = True
"""
SHOWN = "import matplotlib.pyplot as plt\nfig = plt.figure()\nplt.plot([1, 2])\n"


@pytest.mark.parametrize(
    "cells",
    [
        [
            ("%matplotlib agg\n" + SHOWN + "plt.show()", 1),
            ("plt.show()", 0),
            ("%matplotlib inline", 0),
            ("plt.show()", 0),
        ],
        [("%matplotlib agg\n" + SHOWN + "plt.show()", 1), ("%matplotlib inline\nplt.plot([3, 4]);", 1)],
        [("%matplotlib agg\n" + SHOWN + "fig", 1), ("plt.show()", 0)],
        [("%matplotlib agg\n" + SHOWN + "plt.show()\ndisplay(fig)", 2), ("plt.show()", 0)],
        [(SHOWN + "plt.show()", 1), ("%matplotlib agg\nplt.show()", 0), ("%matplotlib inline\nplt.show()", 0)],
        [(SHOWN + "display(fig)\n%matplotlib agg\nplt.show()", 1), ("plt.show()", 0)],
        [("%config InlineBackend.close_figures = False\n" + SHOWN, 1), ("%matplotlib agg\nplt.show()", 0)],
        [
            (SHOWN + "plt.show()", 1),
            (AGG + SHOWN + "plt.show()", 1),
            ("plt.switch_backend('inline')", 0),
            ("plt.plot([3, 4]);", 1),
        ],
        [(AGG + SHOWN + "plt.show()", 1), ("fig.savefig('saved.png')\nplt.show()", 0)],
        [(AGG + SHOWN + "plt.show()", 1), ("fig.canvas.draw()\nplt.show()", 0)],
        # Changed figures are shown again, and so are those not shown yet.
        [
            (AGG + SHOWN + "plt.show()", 1),
            ("plt.title('x')\nfig.savefig('saved.png')\nplt.show()", 1),
            ("plt.show()", 0),
        ],
        [(AGG + SHOWN + "plt.show()", 1), ("plt.title('x')\nfig.canvas.draw()\nplt.show()", 1), ("plt.show()", 0)],
        [(AGG + SHOWN + "plt.show()", 1), ("plt.title('x')", 0), ("%matplotlib inline\nplt.show()", 1)],
        [("%matplotlib agg\n" + SHOWN, 0), ("%matplotlib inline\nplt.show()", 1)],
    ],
)
def test_a_shown_figure_is_not_repeated_after_a_backend_switch(
    executor: Executor, session: str, cells: list[tuple[str, int]]
) -> None:
    pytest.importorskip("matplotlib")
    executor.run(AS_AT_THE_START, session=session)
    for code, count in cells:
        job = executor.run(code, session=session)
        assert job.state == "succeeded", job.events
        shown = job.of("display_data") + job.of("execute_result")
        assert sum("image/png" in event["data"] for event in shown) == count, code


@pytest.mark.fresh_kernel
@pytest.mark.parametrize("backend", ["inline", "agg"])
def test_running_a_script_shows_no_empty_figure(executor: Executor, session: str, tmp_path: Path, backend: str) -> None:
    pytest.importorskip("matplotlib")
    plain, plotting = tmp_path / "plain.py", tmp_path / "plotting.py"
    plain.write_text("print('ok')")
    plotting.write_text("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    executor.run(f"%matplotlib {backend}{PLOT}plt.show()\nplt.close('all')", session=session)
    for script, count in ((plain, 0), (plotting, 1), (plain, 0)):
        job = executor.run(f"%run {script}\nplt.show()", session=session)
        assert pictures(job) == len(job.of("display_data")) == count, script


def test_a_canvas_is_shown_as_a_picture(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    code = "%matplotlib widget\nimport matplotlib.pyplot as plt\nplt.ioff()\nfig = plt.figure()\ndisplay(fig.canvas)"
    assert pictures(executor.run(code, session=session)) == 1


def test_the_note_names_the_backend_once_per_switch(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    code = "%matplotlib widget\nimport matplotlib\nmatplotlib.use('QtAgg')"
    assert executor.run(code, session=session).stdout == (
        "[matplotlib backend widget: figures are static pictures here]\n"
        "[matplotlib backend QtAgg: figures are static pictures here]\n"
    )


@pytest.mark.fresh_kernel
def test_static_backends_and_settings_are_unchanged(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    code = "import matplotlib.pyplot as plt\n%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']\n"
    job = executor.run(code + "plt.plot([1, 2]);", session=session)
    assert [sorted(shown["data"]) for shown in job.of("display_data")] == [["image/svg+xml", "text/plain"]]
    assert job.of("stream") == []
    assert "inline" in executor.run("%matplotlib --list", session=session).stdout
    assert "inline" in executor.run("%matplotlib", session=session).stdout
    for switch in ("%matplotlib agg", "plt.switch_backend('svg')", "import matplotlib; matplotlib.use('pdf')"):
        name = switch.split()[-1].split("'")[-2 if "'" in switch else 0]
        assert executor.run(f"{switch}\nprint(plt.get_backend())", session=session).stdout == f"{name}\n"
    wrong = executor.run("%matplotlib nosuch", session=session)
    assert wrong.state == "failed"
    assert wrong.stdout == ""


@pytest.mark.fresh_kernel
def test_a_show_displays_only_new_or_changed_figures(executor: Executor, session: str) -> None:
    pytest.importorskip("matplotlib")
    loop = AGG + "for i in range(3):\n    plt.figure()\n    plt.plot([i])\n    plt.savefig('a.png')\n    plt.show()"
    assert pictures(executor.run(loop, session=session)) == 3
    assert pictures(executor.run("plt.show()", session=session)) == 0
    # Changed, whether it was drawn elsewhere before or not; and it can still be saved to a file.
    assert pictures(executor.run("plt.plot([7])\nplt.show()", session=session)) == 1
    assert pictures(executor.run("plt.plot([8])\nplt.savefig('a.png')\nplt.show()", session=session)) == 1
    assert executor.run("print(len(plt.gcf().axes[0].lines))", session=session).stdout == "3\n"
    assert pictures(executor.run("plt.figure()\nplt.savefig('a.png')", session=session)) == 0, "nobody said show"


def test_a_library_is_hooked_after_a_failed_first_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.fresh_kernel
def test_without_the_libraries_nothing_is_imported(executor: Executor, session: str) -> None:
    code = "import sys\nprint([name for name in sys.modules if name.split('.')[0] in ('plotly', 'matplotlib')])"
    assert executor.run(code, session=session).stdout == "[]\n"


@pytest.mark.parametrize("show", ["fig", "display(fig)", "fig.show()"])
@pytest.mark.parametrize(
    "colab", [False, pytest.param(True, marks=pytest.mark.fresh_kernel)], ids=["plain", "in Colab"]
)
def test_a_plotly_figure_is_text_and_html(executor: Executor, session: str, show: str, colab: bool) -> None:
    pytest.importorskip("plotly")
    code = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n" if colab else ""
    job = executor.run(code + FIGURE + show, session=session)
    assert job.state == "succeeded", job.events
    (shown,) = job.events[1:-1]
    assert shown["type"] == "display_data"
    text, html = shown["data"].pop("text/plain"), shown["data"].pop("text/html")
    assert text == f"{SUMMARY}\n(for a picture: `pip install kaleido`)"
    assert "https://cdn.plot.ly/plotly-" in html
    assert len(html) < 20_000
    assert shown["data"] == {}


@pytest.mark.fresh_kernel
def test_a_plotly_figure_has_a_picture_where_kaleido_works(executor: Executor, session: str) -> None:
    pytest.importorskip("plotly")
    executor.run(FIGURE + KALEIDO.format("return b'a picture'"), session=session)
    (shown,) = executor.run("fig", session=session).of("display_data")
    assert shown["data"]["text/plain"] == SUMMARY
    assert shown["data"]["image/png"]["bytes"] == len(b"a picture")


@pytest.mark.fresh_kernel
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise RuntimeError('no\\nbrowser')", "RuntimeError: no browser"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("import time; time.sleep(600)", "it took more than 0 s"),
    ],
)
def test_a_failing_kaleido_is_tried_once(executor: Executor, session: str, fault: str, said: str) -> None:
    pytest.importorskip("plotly")
    executor.run(FIGURE + KALEIDO.format(fault), session=session)
    if "sleep" in fault:
        executor.run("sys.modules['_smart_colab.figures'].PICTURE_TIMEOUT_SEC = 0.2", session=session)
    for _ in range(2):
        job = executor.run("fig.show()", session=session)
        assert job.state == "succeeded"
        (shown,) = job.events[1:-1]
        assert shown["data"]["text/plain"] == (f"{SUMMARY}\n(no picture: kaleido does not work here: {said})")
    assert executor.run("print(calls)", session=session).stdout == "['png']\n"


@pytest.mark.fresh_kernel
def test_a_renderer_chosen_by_the_user_is_used(executor: Executor, session: str) -> None:
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
def test_a_plotly_figure_is_summarized_in_a_line(figure: dict[str, Any], expected: str) -> None:
    assert summary(figure) == expected

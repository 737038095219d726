"""Shows figures, which libraries would show in a window or a notebook page, as pictures and text.

Runs in the kernel, as `_smart_colab.figures`; standard library only: it waits until the libraries are imported.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import sys
import threading
from contextlib import suppress
from functools import wraps
from importlib.abc import MetaPathFinder
from io import BytesIO
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

RENDERER = "smart_colab"
# The first picture of plotly starts a browser.
PICTURE_TIMEOUT_SEC = 20.0
# The names in matplotlib and IPython for backends that need a window or a page.
_INTERACTIVE = re.compile(
    r"(module://(matplotlib\.backends|ipympl)\.backend_)?"
    r"((qt|gtk|tk|wx)\d?(agg|cairo)?|nbagg|webagg|macosx|osx|notebook|ipympl|widget)",
    re.IGNORECASE,
)


def install(shell: Any) -> None:
    """Patch plotting libraries as soon as they are imported."""
    _enable_inline(shell)
    sys.meta_path[:0] = [
        _AfterImport("matplotlib", lambda matplotlib: _use_inline(matplotlib, shell)),
        _AfterImport("matplotlib.pyplot", lambda pyplot: _patch_pyplot(pyplot, shell)),
        _AfterImport("matplotlib.figure", lambda figures: _show_without_window(figures, shell)),
        _AfterImport("plotly.io._renderers", _render_here),
    ]


class _AfterImport(MetaPathFinder):
    """Calls `then` once with a newly imported module; its errors do not reach the importing code.

    It stays in `sys.meta_path`: another thread's import may be iterating over that list.
    """

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name = name
        self._then = then
        self._is_done = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the awaited module, with a loader that calls `then`."""
        if name != self._name or self._is_done:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        loader: Any = spec and spec.loader
        if loader is not None:
            execute = loader.exec_module

            def execute_and_call(module: ModuleType) -> None:
                execute(module)  # may fail and be retried
                if not self._is_done:
                    with suppress(Exception):
                        self._then(module)
                    self._is_done = True

            loader.exec_module = execute_and_call
        return spec


def _display(data: dict[str, Any]) -> None:
    sys.modules["IPython.display"].display(data, raw=True)


def _png(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


# --- matplotlib -------------------------------------------------------------------------------------------------------


# Figures that were shown and have not changed since, except for their `stale`.
_shown: WeakSet[Any] = WeakSet()


def _show_without_window(figures: Any, shell: Any) -> None:
    """Make `plt.show()` show pictures when the code has chosen a backend without windows, such as Agg.

    Also `display(fig.canvas)`, which is how ipympl's figures are shown.
    """
    backends = sys.modules["matplotlib.backend_bases"]
    pictures = shell.display_formatter.formatters["image/png"]
    pictures.for_type(backends.FigureCanvasBase, lambda canvas: _picture(canvas.figure))
    _track_changes(figures.Figure, backends.FigureCanvasBase)
    formatter = shell.display_formatter
    form = formatter.format

    def form_noticed(shown: Any, *arguments: Any, **options: Any) -> Any:
        formed = form(shown, *arguments, **options)
        if isinstance(shown, figures.Figure):
            _note_shown(shown)
        return formed

    formatter.format = form_noticed
    manager = backends.FigureManagerBase
    show = manager.show

    def show_picture(self: Any) -> Any:
        figure = self.canvas.figure
        if _is_inline():
            return show(self)  # the inline backend shows figures by itself
        # A figure stays open here, and the next `plt.show()` shows only new or changed ones.
        if not _is_as_shown(figure):
            picture = _picture(figure)
            _note_shown(figure)
            _display({"image/png": picture, "text/plain": repr(figure)})
        return None

    manager.show = show_picture


def _track_changes(figure_class: Any, canvas_class: Any) -> None:
    """Track changes: drawing clears a figure's `stale`, and saving sets it on an unchanged figure."""
    draw, save = figure_class.draw, canvas_class.print_figure

    @wraps(draw)
    def draw_noticed(figure: Any, *arguments: Any, **options: Any) -> Any:
        if figure.stale:
            _shown.discard(figure)
        return draw(figure, *arguments, **options)

    @wraps(save)
    def save_noticed(canvas: Any, *arguments: Any, **options: Any) -> Any:
        is_as_shown = _is_as_shown(canvas.figure)
        try:
            return save(canvas, *arguments, **options)
        finally:
            if is_as_shown:
                _note_shown(canvas.figure)

    figure_class.draw, canvas_class.print_figure = draw_noticed, save_noticed


def _is_inline() -> bool:
    return "inline" in sys.modules["matplotlib"].get_backend()


def _is_as_shown(figure: Any) -> bool:
    return figure in _shown and not figure.stale


def _note_shown(figure: Any) -> None:
    _shown.add(figure)
    figure.stale = False  # the tight bounding box sets it


def _picture(figure: Any) -> str:
    picture = BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return _png(picture.getvalue())


def _enable_inline(shell: Any) -> None:
    """Make `%matplotlib widget` and `%pylab qt` produce pictures, and start no event loop."""
    enable_matplotlib = shell.enable_matplotlib

    @wraps(enable_matplotlib)
    def enable(gui: str | None = None) -> Any:
        import matplotlib

        named = matplotlib.rcParamsOrig["backend"] if gui in (None, "auto") else gui
        return enable_matplotlib("inline" if _becomes_static(named) else gui)

    shell.enable_matplotlib = enable


def _use_inline(matplotlib: Any, shell: Any) -> None:
    """Make `matplotlib.use("QtAgg")`, and an MPLBACKEND set by the code, produce pictures."""
    use = matplotlib.use

    @wraps(use)
    def use_inline(backend: Any, **options: Any) -> None:
        if _becomes_static(backend):
            shell.enable_matplotlib("inline")
        else:
            use(backend, **options)

    matplotlib.use = use_inline
    if _INTERACTIVE.fullmatch(named := os.environ.get("MPLBACKEND", "")):
        use_inline(named)


def _patch_pyplot(pyplot: Any, shell: Any) -> None:
    _switch_to_inline(pyplot, shell)
    _draw_only_open_figures(pyplot)


def _switch_to_inline(pyplot: Any, shell: Any) -> None:
    """Make `plt.switch_backend("QtAgg")` produce pictures, and none of figures already shown."""
    switch_backend = pyplot.switch_backend
    is_inline = True  # every kernel's initial backend

    @wraps(switch_backend)
    def switch_inline(newbackend: Any) -> None:
        if _becomes_static(newbackend):
            shell.enable_matplotlib("inline")
            return
        nonlocal is_inline
        was_inline = is_inline
        switch_backend(newbackend)
        is_inline = _is_inline()
        # The inline backend closes the figures that it has shown, and shows all open ones.
        if is_inline and not was_inline:
            for figure in filter(_is_as_shown, map(pyplot.figure, pyplot.get_fignums())):
                pyplot.close(figure)

    pyplot.switch_backend = switch_inline


def _draw_only_open_figures(pyplot: Any) -> None:
    """Keep `plt.draw()` from creating an empty figure: `%run` calls it after all figures are shown and closed."""
    draw = pyplot.draw

    @wraps(draw)
    def draw_open() -> None:
        if pyplot.get_fignums():
            draw()

    pyplot.draw = draw_open


def _becomes_static(backend: Any) -> bool:
    """Return whether the inline backend replaces this one; print a note if the code has named one."""
    if not isinstance(backend, str):
        return True  # matplotlib's sentinel for an automatic choice
    interactive = _INTERACTIVE.fullmatch(backend) is not None
    if interactive:
        print(f"[matplotlib backend {backend}: figures are static pictures here]")
    return interactive


# --- plotly -----------------------------------------------------------------------------------------------------------


def _render_here(renderers: Any) -> None:
    """Set plotly's renderer; its own notebook renderers send four megabytes of script."""
    picture = _Picture()

    # Not a mime type renderer: those need another package.
    class Renderer(renderers.ExternalRenderer):  # type: ignore[misc]
        config: dict[str, Any] | None = None  # `fig.show(config=…)` sets it

        def render(self, figure: dict[str, Any]) -> None:
            io = sys.modules["plotly.io"]
            png, note = picture.take(figure)
            data = {
                "text/plain": summary(figure) + note,
                "text/html": io.to_html(figure, self.config, include_plotlyjs="cdn", validate=False),
            }
            _display(data if png is None else {**data, "image/png": _png(png)})

    renderers.renderers[RENDERER] = Renderer()
    if not os.environ.get("PLOTLY_RENDERER"):
        renderers.renderers.default = RENDERER


def summary(figure: dict[str, Any]) -> str:
    """Describe a plotly figure in a line: `Figure with 2 traces (scatter, bar): TITLE`."""
    traces = figure.get("data") or ()
    kinds = dict.fromkeys(str(trace.get("type", "scatter")) for trace in traces)
    title = (figure.get("layout") or {}).get("title")
    if isinstance(title, dict):
        title = title.get("text")
    many = "" if len(traces) == 1 else "s"
    return (
        f"Figure with {len(traces)} trace{many}"
        + (f" ({', '.join(kinds)})" if kinds else "")
        + (f": {title}" if title else "")
    )


class _Picture:
    """Renders pictures with kaleido, if it works."""

    def __init__(self) -> None:
        # The reason of a failure: not retried in this kernel.
        self._failure = ""

    def take(self, figure: dict[str, Any]) -> tuple[bytes | None, str]:
        """Render a figure; return the picture or None, and a note for the text."""
        if importlib.util.find_spec("kaleido") is None:
            return None, "\n(for a picture: `pip install kaleido`)"
        if not self._failure:
            made: list[bytes] = []
            # In a thread: it may hang.
            maker = threading.Thread(target=self._make, args=(figure, made), daemon=True)
            maker.start()
            maker.join(PICTURE_TIMEOUT_SEC)
            if made:
                return made[0], ""
            self._failure = self._failure or f"it took more than {PICTURE_TIMEOUT_SEC:.0f} s"
        return None, f"\n(no picture: kaleido does not work here: {self._failure})"

    def _make(self, figure: dict[str, Any], made: list[bytes]) -> None:
        try:
            made.append(sys.modules["plotly.io"].to_image(figure, format="png", validate=False))
        except BaseException as error:  # noqa: BLE001, RUF100 - a failure must not reach the code
            self._failure = " ".join(f"{type(error).__name__}: {error}".split())[:200]

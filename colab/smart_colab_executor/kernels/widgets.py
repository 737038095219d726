"""A kernel's widgets (ipywidgets and libraries built on it), as its comm messages describe them.

A notebook page draws a widget from its model's state, which the kernel sends in comm messages. Here the state becomes
updates of the display, so that a bar moves in place, and is kept for exported notebooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..in_kernel.jsonline import dump
from .widget_text import END_STYLES, is_lively, text, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Message = tuple[str, dict[str, Any]]

TARGET = "jupyter.widget"
OUTPUT = "OutputModel"
# Messages that an Output widget captures. An update is not among them: it belongs to the display that it updates.
CAPTURED = frozenset({"clear_output", "display_data", "error", "execute_result", "stream"})
VIEW = "application/vnd.jupyter.widget-view+json"
# How ipywidgets ends a name of more than 110 characters; the rest appears nowhere else.
CUT = "…"
# The type of the message with the states that changed in a job.
STATES_TYPE = "widgets"
MAX_MODELS = 10_000
MAX_VIEWS = 200
MAX_STATES_BYTES = 4 * 1024 * 1024


@dataclass
class _View:
    """A widget that is displayed."""

    view: Any
    metadata: Mapping[str, Any]
    plain: Any
    # Its text when it was displayed, equivalent to `plain`, and its text shown last.
    first: str | None
    shown: str | None
    is_live: bool


class Widgets:
    """The models of one kernel, and its displayed widgets."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Any]] = {}
        self._views: dict[str, _View] = {}
        # Changed since they were last shown, and since they were last kept.
        self._unshown: set[str] = set()
        self._unkept: dict[str, None] = {}
        self._has_ended = False
        # The Output widgets that capture the running job's output, the innermost last.
        self._capturing: dict[str, None] = {}

    @property
    def are_behind(self) -> bool:
        """Whether a change has not been shown."""
        return bool(self._unshown and self._views)

    def take(self, kind: str, content: dict[str, Any]) -> Sequence[Message]:
        """Process one of the kernel's messages; return those to show in its place."""
        if self._has_ended and not kind.startswith("comm_"):
            # A finished bar is shown before later output.
            return [*self.show(), *self.take(kind, content)]
        if self._capturing and kind in CAPTURED:
            content = {**content, "widget": next(reversed(self._capturing))}
        match kind:
            case "display_data" | "execute_result" if VIEW in content["data"]:
                return [(kind, self._display(content))]
            case "comm_open" if content.get("target_name") == TARGET:
                self._change(content)
            case "comm_msg" if content["comm_id"] in self._models:
                if self._change(content).get("bar_style") in END_STYLES:
                    self._has_ended = True
            case "comm_close" if content["comm_id"] in self._models:
                return list(self._close(content["comm_id"]))
            case "comm_open" | "comm_msg" | "comm_close":
                pass
            case _:
                return ((kind, content),)
        return ()

    def show(self, *, is_end: bool = False) -> Iterator[Message]:
        """Yield updates of displayed widgets that have changed; at a job's end, also of all live ones."""
        changed, self._unshown, self._has_ended = self._unshown, set(), False
        for model_id, view in self._views.items():
            is_changed = any(inside in changed for inside, _ in tree(self._models, model_id))
            if not (is_changed or (is_end and view.is_live)):
                continue
            now = text(self._models, model_id)
            is_live = not is_end and is_lively(self._models, model_id)
            if now is None or (now == view.shown and is_live == view.is_live):
                continue
            view.shown, view.is_live = now, is_live
            plain = view.plain if now == view.first else now
            yield _update(model_id, {"text/plain": plain, VIEW: view.view}, view.metadata, is_live=is_live)

    def states(self) -> Iterator[Message]:
        """Yield the states changed since they were last kept, as in a notebook's metadata; displayed widgets first."""
        self._capturing.clear()  # a capture ends with its job
        unkept, self._unkept = self._unkept, {}
        displayed = [inside for root in self._views for inside, _ in tree(self._models, root)]
        kept: dict[str, Any] = {}
        size = 0
        for model_id in dict.fromkeys([*(one for one in displayed if one in unkept), *unkept]):
            if (state := self._models.get(model_id)) is None:
                continue
            size += len(dump(state))
            if size > MAX_STATES_BYTES:
                break
            kept[model_id] = {
                "model_name": state.get("_model_name"),
                "model_module": state.get("_model_module"),
                "model_module_version": state.get("_model_module_version"),
                "state": dict(state),
            }
        if kept:
            yield STATES_TYPE, {"states": kept}

    def _display(self, content: dict[str, Any]) -> dict[str, Any]:
        view = content["data"][VIEW]
        model_id = view.get("model_id") if isinstance(view, dict) else None
        if model_id not in self._models:
            return content
        is_live, now = is_lively(self._models, model_id), text(self._models, model_id)
        plain = content["data"].get("text/plain", "")
        if now is not None and isinstance(plain, str) and plain.endswith(CUT):
            plain = now
            content = {**content, "data": {**content["data"], "text/plain": plain}}
        self._views.pop(model_id, None)
        self._views[model_id] = _View(view, content["metadata"], plain, now, now, is_live)
        if len(self._views) > MAX_VIEWS:
            del self._views[next(iter(self._views))]
        return {**content, "transient": {"display_id": _display_id(model_id)}, "live": is_live}

    def _change(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge a message's state into its model; return that state."""
        data, model_id = content["data"], content["comm_id"]
        state = data.get("state") if isinstance(data, dict) else None
        if not isinstance(state, dict):
            return {}  # a message of the widget's own
        if model_id not in self._models:
            if len(self._models) >= MAX_MODELS:
                self._forget(next(iter(self._models)))
            self._models[model_id] = {}
        self._models[model_id].update(state)
        if "msg_id" in state and self._models[model_id].get("_model_name") == OUTPUT:
            self._capturing.pop(model_id, None)
            if state["msg_id"]:
                self._capturing[model_id] = None
        self._unshown.add(model_id)
        self._unkept[model_id] = None
        return state

    def _close(self, model_id: str) -> Iterator[Message]:
        view = self._views.pop(model_id, None)
        inside = [one for one, _ in tree(self._models, model_id)] if view else [model_id]
        for one in inside:
            self._forget(one)
        if view is not None:
            yield _update(model_id, {"text/plain": ""}, view.metadata, is_live=False)

    def _forget(self, model_id: str) -> None:
        self._models.pop(model_id, None)
        self._capturing.pop(model_id, None)
        self._unkept.pop(model_id, None)
        self._unshown.discard(model_id)


def _display_id(model_id: str) -> str:
    return f"widget-{model_id}"


def _update(model_id: str, data: dict[str, Any], metadata: Mapping[str, Any], *, is_live: bool) -> Message:
    transient = {"display_id": _display_id(model_id)}
    return "update_display_data", {"data": data, "metadata": metadata, "transient": transient, "live": is_live}

"""Renders widgets as text from the models in their comm messages (ipywidgets 7 and 8)."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Models = Mapping[str, Mapping[str, Any]]

BAR_WIDTH = 10
MAX_DEPTH = 20
REFERENCE = "IPY_MODEL_"

PROGRESS = frozenset({"FloatProgressModel", "IntProgressModel"})
MARKUP = frozenset({"HTMLModel", "HTMLMathModel"})
ROWS = frozenset({"HBoxModel"})
BOXES = ROWS | {"AccordionModel", "BoxModel", "GridBoxModel", "StackModel", "TabModel", "VBoxModel"}
# Models that code changes to show progress.
LIVELY = PROGRESS | MARKUP | {"LabelModel", "TextModel", "TextareaModel"}
END_STYLES = frozenset({"danger", "success"})


def tree(models: Models, root: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a widget's model and those it refers to, each once: its children, layouts and styles."""
    found: dict[str, None] = {root: None}
    waiting = [root]
    while waiting:
        model_id = waiting.pop()
        if (state := models.get(model_id)) is None:
            continue
        yield model_id, state
        named = [value.removeprefix(REFERENCE) for value in state.values() if _is_reference(value)]
        for other in [*children(state), *named]:
            if other not in found:
                found[other] = None
                waiting.append(other)


def is_lively(models: Models, root: str) -> bool:
    """Return whether a widget is expected to keep changing: a progress display that has not finished."""
    inside = [state for _, state in tree(models, root)]
    bars = [state for state in inside if state.get("_model_name") in PROGRESS]
    if bars:
        return not all(state.get("bar_style") in END_STYLES for state in bars)
    return any(state.get("_model_name") in LIVELY for state in inside)


def text(models: Models, root: str) -> str | None:
    """Return a widget's current text; None for an unknown kind of model."""
    state = models.get(root)
    return None if state is None else _text(models, state, 0)


def children(state: Mapping[str, Any]) -> list[str]:
    """Return the ids of a model's children."""
    inside = state.get("children")
    references = filter(_is_reference, inside) if isinstance(inside, list) else ()
    return [child.removeprefix(REFERENCE) for child in references]


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and value.startswith(REFERENCE)


def _text(models: Models, state: Mapping[str, Any], depth: int) -> str | None:
    name, value = state.get("_model_name"), state.get("value")
    if name in BOXES:
        if depth > MAX_DEPTH:
            return None
        inside = [models[child] for child in children(state) if child in models]
        if name in ROWS:
            return _row(models, inside, depth)
        texts = [_text(models, child, depth + 1) for child in inside]
        return "\n".join(text for text in texts if text)
    if name in PROGRESS:
        return _labelled(state, f"{_bar(state)} {_number(value)}/{_number(state.get('max'))}")
    if name in MARKUP:
        return _labelled(state, without_tags(str(value)))
    if name == "ButtonModel":
        return f"[{state.get('description') or 'button'}]"
    if name == "OutputModel":
        shown = state.get("outputs")
        return "".join(_shown(output) for output in shown) if isinstance(shown, list | tuple) else ""
    labels, index = state.get("_options_labels"), state.get("index")
    if isinstance(labels, list):
        chosen = index if isinstance(index, list) else [index]
        names = [str(labels[at]) for at in chosen if isinstance(at, int) and 0 <= at < len(labels)]
        return _labelled(state, ", ".join(names))
    if isinstance(value, str | int | float | list):
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return _labelled(state, shown)
    return None


def _row(models: Models, inside: list[Mapping[str, Any]], depth: int) -> str:
    """Return a row as one line; a bar beside texts that already count is shown without numbers, like tqdm's."""
    texts = [_text(models, child, depth + 1) or "" for child in inside]
    counts = any(
        ("%" in text or "/" in text or "[" in text)
        for child, text in zip(inside, texts, strict=True)
        if child.get("_model_name") not in PROGRESS
    )
    line = ""
    for child, text in zip(inside, texts, strict=True):
        is_bar = child.get("_model_name") in PROGRESS
        piece = _labelled(child, _bar(child)) if is_bar and counts else text.strip()
        if piece:
            line += ("" if not line or (is_bar and counts) else " ") + piece
    return line


def _bar(state: Mapping[str, Any]) -> str:
    try:
        low, high = float(state.get("min") or 0), float(state["max"])
        part = (float(state["value"]) - low) / (high - low)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return ""
    if state.get("bar_style") == "info" and part == 1:
        return ""  # tqdm's way to say that the total is not known
    filled = int(min(max(part, 0), 1) * BAR_WIDTH)
    return f"|{'█' * filled}{' ' * (BAR_WIDTH - filled)}|"


def _labelled(state: Mapping[str, Any], shown: str) -> str:
    description = without_tags(str(state.get("description") or ""))
    return f"{description} {shown}".strip() if description else shown


def without_tags(markup: str) -> str:
    """Return the text of a piece of HTML, in lines."""
    markup = re.sub(r"(?is)<(script|style)\b.*?</\1>", "", markup)
    markup = re.sub(r"(?i)</t[dh]>", " ", markup)
    lines = re.sub(r"(?i)<br\b[^>]*>|</(?:div|h\d|li|p|tr)>", "\n", markup)
    return unescape(re.sub(r"<[^>]*>", "", lines)).replace("\u2007", " ").rstrip()


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(output: object) -> str:
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "stream":
        return str(output.get("text", ""))
    data = output.get("data")
    return f"{data['text/plain']}\n" if isinstance(data, dict) and "text/plain" in data else ""

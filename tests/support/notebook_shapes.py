"""Write notebooks as other programs do: `python notebook_shapes.py FOLDER`.

Each has one cell with the source `MARKER = 1`, and says so nowhere else. The names begin with the format's version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v3

MARKER = "MARKER = 1"
IMAGE = "iVBORw0KGgo" + "A" * 100 + "="


def code(**more: Any) -> dict[str, Any]:
    """Return the marked cell."""
    return {"cell_type": "code", "execution_count": 3, "metadata": {}, "outputs": [], "source": [MARKER], **more}


def text(kind: str = "markdown", **more: Any) -> dict[str, Any]:
    """Return a cell of text with whatever JSON may escape."""
    return {"cell_type": kind, "metadata": {}, "source": ["# Tïtle 🚀\n", 'a "quote", a \\ and a </tag>\u2028'], **more}


def notebook(*cells: dict[str, Any], minor: int = 5, **metadata: Any) -> dict[str, Any]:
    """Return a notebook of these cells, with ids where its format has them."""
    if minor >= 5:
        cells = tuple({"id": f"cell-{number}", **cell} for number, cell in enumerate(cells))
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": list(cells),
        "metadata": {"kernelspec": spec, **metadata},
        "nbformat": 4,
        "nbformat_minor": minor,
    }


def output(**data: Any) -> dict[str, Any]:
    """Return what a cell shows."""
    named = {name.replace("_", "/"): shown for name, shown in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": named}


def old() -> str:
    """Return what IPython 2 wrote."""
    cells = [
        v3.new_heading_cell("Heading é", level=2),
        v3.new_code_cell(MARKER, prompt_number=1, outputs=[v3.new_output("pyout", output_text="1", prompt_number=1)]),
        v3.new_text_cell("raw", "raw"),
    ]
    sheets = [v3.new_worksheet(cells=cells), v3.new_worksheet(cells=[v3.new_code_cell("second sheet")])]
    return str(v3.writes_json(v3.new_notebook(metadata=v3.new_metadata(name="old"), worksheets=sheets)))


def big() -> str:
    """Return 50 MB of outputs."""
    lines = [f"line {number} of what was printed\n" for number in range(250_000)]
    printed = {"output_type": "stream", "name": "stdout", "text": lines}
    pictures = [output(image_png="A" * 2_000_000) for _ in range(20)]
    cells = [code(source=["a"], outputs=pictures), code(outputs=[printed]), text()]
    return json.dumps(notebook(*cells), indent=1, ensure_ascii=False) + "\n"


def shapes() -> dict[str, str]:
    """Return the notebooks by their names."""
    state = {"a1": {"model_name": "IntSlider", "state": {"max": 1e3}}}
    of_widgets = {"state": state, "version_major": 2, "version_minor": 0}
    widgets = {"application/vnd.jupyter.widget-state+json": of_widgets}
    attachments = {"image é.png": {"image/png": IMAGE}}
    papermill = {"papermill": {"duration": 1.50, "end_time": "2026-01-01T00:00:00.000001", "exception": None}}
    spec_r = {"display_name": "R", "language": "R", "name": "ir"}
    spec_julia = {"display_name": "Julia 1.10", "language": "julia", "name": "julia-1.10"}
    julia = {"language_info": {"file_extension": ".jl", "mimetype": "application/julia", "name": "julia"}}
    raw = text("raw", metadata={"format": "text/latex"})
    plain = notebook(text(), code(outputs=[output(text_plain=["<b>\n", "é"])]), raw)
    colab = notebook(
        text(metadata={"id": "Zk1-_"}),
        code(metadata={"id": "q2", "colab": {"base_uri": "https://localhost:8080/"}, "outputId": "0-1"}),
        minor=0,
        colab={"provenance": [], "toc_visible": True},
        accelerator="GPU",
    )
    as_r = notebook(text(), code(outputs=[output(text_latex="$x$", text_html="<p>")]), minor=4, kernelspec=spec_r)
    twice = notebook(code(source=["first"], id="same"), code(id="same"), text(id="other"))
    with_nan = notebook(code(metadata={"p": float("nan"), "n": 1e300}), text(), minor=2)
    vscode = notebook(code(metadata={"vscode": {"languageId": "python"}}), text(), minor=2, orig_nbformat=4)
    marked = notebook(code(metadata={"tags": ["parameters"], **papermill}), text(), minor=5, **papermill)
    widget = notebook(code(outputs=[output(text_plain="IntSlider()")]), text(), widgets=widgets)
    attached = notebook(text(attachments=attachments), code(), text("raw"))
    as_julia = notebook(code(), text(), minor=2, kernelspec=spec_julia, **julia)
    return {
        "3.0 IPython": old(),
        "4.0 Colab": json.dumps(colab, indent=2, ensure_ascii=False),
        "4.2 one line, NaN": json.dumps(with_nan),
        "4.2 VS Code": json.dumps(vscode, indent=1, ensure_ascii=False),
        "4.2 Julia, tabs": json.dumps(as_julia, indent="\t", ensure_ascii=False) + "\n",
        "4.4 R, CRLF": (json.dumps(as_r, indent=1, ensure_ascii=False, sort_keys=True) + "\n").replace("\n", "\r\n"),
        "4.5 nbformat": nbformat.writes(nbformat.from_dict(plain)) + "\n",
        "4.5 ASCII": json.dumps(plain, indent=4, sort_keys=True),
        "4.5 Kaggle": json.dumps(attached, separators=(",", ":"), ensure_ascii=False),
        "4.5 ids twice": json.dumps(twice, indent=1) + "\n\n",
        "4.5 papermill": nbformat.writes(nbformat.from_dict(marked)),
        "4.5 widgets, BOM": "\ufeff" + json.dumps(widget, indent=1, ensure_ascii=False) + "\n",
        "4.5 50 MB": big(),
    }


if __name__ == "__main__":
    for name, written in shapes().items():
        Path(sys.argv[1], f"{name}.ipynb").write_bytes(written.encode())

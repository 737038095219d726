"""Validate a notebook and print what it shows: `python notebook_check.py NOTEBOOK [FOLDER]`.

With a folder the notebook is run there too. Prints `{"cells": […], "ran": […]}`, the text that each code cell printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what each code cell printed to stdout."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.text for output in cell.outputs if output.get("name") == "stdout") for cell in cells]


def main(path: str, folder: str | None = None) -> None:
    """Validate the notebook and, with a folder, run it."""
    text = Path(path).read_text(encoding="utf-8")
    # Validate the raw text, because `nbformat.read` would repair some errors.
    nbformat.validate(json.loads(text), version=4, version_minor=5)
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5), path
    shown = {"cells": printed(notebook)}
    if folder is not None:
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
        shown["ran"] = printed(notebook)
    print(json.dumps(shown))


if __name__ == "__main__":
    main(*sys.argv[1:])

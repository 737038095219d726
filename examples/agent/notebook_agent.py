"""The same agent, told to leave its work as a notebook: `python notebook_agent.py "Fit a line to y = 3x + noise"`."""

from __future__ import annotations

import asyncio
import sys

from agent import main

SYSTEM = """You solve a task by writing a Jupyter notebook on the user's machine or on Google Colab, through the tools.
First write a plan of a few lines. Create a notebook with open_notebook (create: true), add a text cell that says what
it does, and small code cells with add_code_cell: imports, data, one step each, and what shows the result.
Run it with run_notebook. Where a cell fails, read its error, mend it with update_cell, and call run_notebook with
from_cell. Then run all of it once more with restart: true: only what runs from top to bottom is done.
At last answer with the result and the path of the executed notebook, and call no tool."""

if __name__ == "__main__":
    sys.exit(asyncio.run(main(SYSTEM)))

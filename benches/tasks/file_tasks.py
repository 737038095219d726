"""Tasks about files and history."""

from __future__ import annotations

import json
import re
from pathlib import Path

from goals import assure, expect, rows_of
from model import Model

JOB_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ROWS = 200_000
TOWNS = ("Aarhus", "Bergen", "Cork", "Delft", "Évora")
SUM_UP = """\
import csv, collections
totals = collections.Counter()
with open("sales.csv", encoding="utf-8") as file:
    for _, town, units, _ in list(csv.reader(file))[1:]:
        totals[town] += int(units)
print(dict(totals), sum(totals.values()))
"""


def make_table(path: Path) -> int:
    """Write the rows; returns the sum of the units."""
    total = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("order,town,units,price\n")
        for i in range(ROWS):
            units = i * 7919 % 23
            total += units
            file.write(f"{i},{TOWNS[i * 31 % 5]},{units},{i % 997 / 10:.2f}\n")
    return total


def table(model: Model) -> None:
    """Look at a CSV of 200,000 rows, sum it up, and bring it home."""
    total = make_table(model.side.root / "sales.csv")
    expect(model.call("read_colab_file", path="sales.csv").text, "units")
    expect(model.run(SUM_UP).text, rf"\b{total}\b")
    reply = model.call("download_from_colab", remote_path="sales.csv")
    while reply.is_running:
        reply = model.call("get_output", job_id=reply.facts["job_id"])
    came = (model.side.saved / "sales.csv").read_bytes()
    assure(came == (model.side.root / "sales.csv").read_bytes(), "the CSV did not arrive whole")


SCRIPT = """\
import json, sys
numbers = json.load(open(sys.argv[1]))["numbers"]
json.dump({"sum": sum(numbers), "largest": max(numbers)}, open(sys.argv[2], "w"))
print(len(numbers), "numbers read")
"""


def round_trip(model: Model) -> None:
    """Send a script and its data, run it, and bring the result home."""
    project = model.side.saved / "project"
    project.mkdir()
    (project / "summarise.py").write_text(SCRIPT, encoding="utf-8")
    (project / "data.json").write_text(json.dumps({"numbers": list(range(3000))}), encoding="utf-8")
    model.call("upload_to_colab", local_path="project")
    expect(model.run("!python project/summarise.py project/data.json result.json").text, "3000 numbers read")
    model.call("download_from_colab", remote_path="result.json")
    result = json.loads((model.side.saved / "result.json").read_text(encoding="utf-8"))
    assure(result == {"sum": 4498500, "largest": 2999}, f"the result is {result}")


# Shuffled, so that a row's place says nothing about its rate.
RATES = (0.004, 0.013, 0.001, 0.009, 0.015, 0.006, 0.002, 0.011, 0.008, 0.003, 0.014, 0.012, 0.005, 0.010, 0.007)


def history(model: Model) -> None:
    """After 15 runs: say what the one with a rate of 0.012 gave, and export all as a notebook."""
    model.side.call("run_code_quick", code="def train(rate): return round(1 - rate * 3, 3)")
    for rate in RATES:
        code = f"import time\n\nscore = train(rate={rate:.3f})\nprint('rate {rate:.3f} score', score)"
        model.side.call("run_code_quick", code=code)
    rows = [row for row in rows_of(model.call("list_jobs").text) if re.search(JOB_ID, row)]
    assure(len(rows) >= len(RATES), "not all jobs are listed")
    # Rows that do not show the rate are looked into, newest first.
    for row in [row for row in rows if re.search(r"rate\W+0\.012", row)] or rows:
        reply = model.call("get_output", job_id=expect(row, JOB_ID).group())
        if "rate 0.012" in reply.text:
            break
    expect(reply.text, r"rate 0\.012 score 0\.964")
    model.call("export_notebook")
    notebooks = list(model.side.saved.glob("*.ipynb"))
    assure(len(notebooks) == 1, "no notebook")
    cells = json.loads(notebooks[0].read_text(encoding="utf-8"))["cells"]
    assure(sum("score = train" in "".join(cell["source"]) for cell in cells) == len(RATES), "cells are missing")

"""Tasks about running code."""

from __future__ import annotations

from pathlib import Path

from goals import assure, expect, rows_of
from model import Model, Reply


def probe(model: Model) -> None:
    """Say what the machine is, and whether the libraries are there."""
    if "first in a conversation" in model.tools["check_colab_connection"]["description"]:
        expect(model.call("check_colab_connection").text, "connected")
    wanted = model.offered("probe_colab_environment", packages=["numpy", "matplotlib"])
    reply = model.call("probe_colab_environment", **wanted)
    expect(reply.text, r"cpu", r"(?i)numpy\W+\d+\.\d+", r"(?i)matplotlib\W+\d+\.\d+")


TRAINING = """\
import time
import numpy as np
rng, losses, begun = np.random.default_rng(0), [], time.time()
for epoch in range(70):
    for step in range(5):
        losses.append(2 * np.exp(-(epoch * 5 + step) / 90) + rng.random() / 20)
        time.sleep(max(0, begun + len(losses) * {step} - time.time()))
        print(f"epoch {{epoch:2d}} step {{step}}/5 loss={{losses[-1]:.4f}} lr={{1e-3 * 0.99**epoch:.2e}}")
print(f"final loss {{losses[-1]:.4f}}")
"""
PLOT = """\
import matplotlib.pyplot as plt
plt.plot(losses); plt.xlabel("step"); plt.ylabel("loss"); plt.show()
"""


def training(model: Model) -> None:
    """Train for 70 s, report the loss, plot its curve."""
    reply = model.call("run_code_long", code=TRAINING.format(step=model.seconds(0.2)))
    expect(model.follow(reply, tail_lines=3).text, r"final loss 0\.\d+")
    assure(model.run(PLOT).pictures == 1, "no plot")


LONG_JOB = """\
import time
history, begun = [], time.time()
for epoch in range(180):
    time.sleep(max(0, begun + epoch * {second} - time.time()))
    history.append(1 - 0.8 / (1 + epoch / 20))
    print(f"epoch {{epoch:3d}} train_loss={{1 / (1 + epoch / 10):.4f}} val_acc={{history[-1]:.4f}}")
"""
LONG_JOB_GOAL = r"val_acc=0\.9"


def beside(model: Model) -> None:
    """Start a job of 3 min, do quick work beside it, stop it within 15 s of a validation accuracy of 0.9 (140 s)."""
    wanted = model.offered("run_code_long", wait_sec=0)
    reply = model.call("run_code_long", code=LONG_JOB.format(second=model.seconds(1)), **wanted)
    job = reply.facts["job_id"]
    side = model.run("words = ['tea', 'ink', 'owl', 'tea']\nlen(set(words))", session="side")
    expect(side.text, r"\b3\b")
    expect(model.run("sorted(set(words))", session="side").text, r"\['ink', 'owl', 'tea'\]")
    expect(model.follow(reply, until=LONG_JOB_GOAL, wait=15, tail_lines=3).text, LONG_JOB_GOAL)
    expect(model.call("interrupt_execution", job_id=job).text, "interrupted")
    epochs = int(model.secretly("print('epochs', len(history))", r"epochs (\d+)"))
    assure(140 <= epochs <= 165, f"stopped after {epochs} epochs")


# Seconds that a call about a chunked operation leaves for its end, however short it is.
CHUNKED_RESERVE = 1.0
CHUNK_SETUP = """\
import time
from pathlib import Path
values = {{}}
def work(name):
    time.sleep({pause})
    return float(Path(name).read_text())
"""
CHUNK_BODY = 'values[i] = work(f"chunks/{i:02d}.txt")\nround(values[i], 2)'
MENDED_BODY = """\
from pathlib import Path
values[i] = float(Path(f"chunks/{i:02d}.txt").read_text().replace(",", "."))"""


def make_chunks(root: Path) -> float:
    """Write the 60 files, one with a decimal comma; returns their sum."""
    folder = root / "chunks"
    folder.mkdir()
    numbers = [i * 1.25 for i in range(60)]
    for i, number in enumerate(numbers):
        text = f"{number:.2f}"
        (folder / f"{i:02d}.txt").write_text(text.replace(".", ",") if i == 37 else text, encoding="utf-8")
    return sum(numbers)


def chunks(model: Model) -> None:
    """Add up 60 files of 5 s each, of which one is broken: find which, mend it, and give the sum."""
    total = make_chunks(model.side.root)
    plan = {
        "setup_code": CHUNK_SETUP.format(pause=model.seconds(5, CHUNKED_RESERVE)),
        "loop_code": CHUNK_BODY,
        "n_iterations": 60,
        "batch_size": 5,
        "on_error": "skip",
        "checkpoint_name": "chunks",
    }
    expect(operate(model, plan, 300).text, r"\b37\b", "could not convert string to float: '46,25'")
    mended = f"i = 37\n{MENDED_BODY}\nlen(values), sum(values.values())"
    expect(model.run(mended).text, rf"\(60, {total}\)")


def hour(model: Model) -> None:
    """Run 720 iterations of 5 s to their end."""
    plan = {
        "setup_code": f"import time\npause = {model.seconds(5, CHUNKED_RESERVE)}",
        "loop_code": "time.sleep(pause)\ni * i",
        "n_iterations": 720,
        "batch_size": 10,
        "checkpoint_name": "hour",
    }
    reply = operate(model, plan, 3600)
    expect(reply.text, r'"completed":\s*720')


def operate(model: Model, plan: dict[str, object], duration: float) -> Reply:
    """Run a chunked operation to its end: look at it after its duration, or call again and again as its replies say."""
    if not model.runs_by_itself():
        reply = model.call("run_chunked_operation", **plan)
        while reply.facts.get("can_continue"):
            reply = model.call("run_chunked_operation", **plan)
        return reply
    reply = model.call("run_chunked_operation", **plan, **model.offered("run_chunked_operation", wait_sec=0))
    model.rest(duration, CHUNKED_RESERVE)
    while reply.is_running:
        reply = model.call("get_output", job_id=plan["checkpoint_name"])
    return reply


HELPER = "%%writefile scoring.py\ndef mean(numbers):\n    return sum(numbers) / (len(numbers) - {off})\n"
USE = "import scoring\nassert scoring.mean([2, 4, 6]) == 4, scoring.mean([2, 4, 6])\nscoring.mean([1, 2, 6])"


def helper(model: Model) -> None:
    """Write a module, use it, find and mend the bug in it."""
    model.run(HELPER.format(off=1))
    reply = model.run(USE)
    if "ModuleNotFoundError" in reply.text:
        reply = model.run(f"import sys\nsys.path.insert(0, '')\n{USE}")
    expect(reply.text, r"AssertionError: 6\.0")
    model.run(HELPER.format(off=0))
    expect(model.run(f"import importlib, scoring\nimportlib.reload(scoring)\n{USE}").text, r"3\.0")


LOG = """\
import zlib
for step in range(42_000):
    if step == 23_456:
        print("step 23456 WARNING shard 0417 has a bad checksum, its 512 rows were dropped")
    checksum = zlib.crc32(str(step).encode())
    print(f"step {step:5d} shard {step % 977:04d} rows=512 checksum={checksum:08x} loss={3 / (1 + step / 9000):.5f} ok")
"""
# The earlier build cannot search a log: its model runs the code again, which is cheaper than to read 3 MB.
SEARCH = """\
import contextlib, io, re
text = io.StringIO()
with contextlib.redirect_stdout(text):
    {code}
print("\\n".join(line for line in text.getvalue().splitlines() if re.search("(?i)warn|drop", line)))
"""


def log(model: Model) -> None:
    """Find out which shard was dropped, in 3 MB of output."""
    reply = model.follow(model.call("run_code_long", code=LOG))
    if model.offers("get_output", "grep"):
        reply = model.call("get_output", job_id=reply.facts["job_id"], grep="(?i)warn|drop")
    else:
        reply = model.follow(model.call("run_code_long", code=SEARCH.format(code=LOG.strip().replace("\n", "\n    "))))
    expect(reply.text, r"shard 0417 has a bad checksum")


SETUP = """\
import numpy as np
rows, labels, lookup = list(range(5000)), ["cat", "dog"] * 500, {i: str(i) for i in range(3000)}
config = {f"option_{i}": i for i in range(40)}
for name in ("alpha", "beta", "gamma", "delta"):
    for i in range(10):
        globals()[f"{name}_{i}"] = np.zeros(100 * i + 1)
"""
FILL = """\
batches = [{"x": np.ones((500, 1000)) * i, "y": [i]} for i in range(3)] + [np.ones((30_000, 1000))]
batches
"""
FREED = "import gc, psutil; gc.collect(); print('resident MB', psutil.Process().memory_info().rss // 10**6)"
RESIDENT = r"resident MB (\d+)"
# 252 MB, in bytes or in a unit.
SIZE = r"\b2[45]\d\D?\d{3}\D?\d{3}\b|\b2[345]\d(\.\d+)? M"
MIN_FREED_MB = 200


def memory(model: Model) -> None:
    """Fill 250 MB and show them; find what holds them, and free that alone."""
    model.run(SETUP + FILL)
    full = int(model.secretly(FREED, RESIDENT))
    reply = model.call("list_colab_variables", **model.offered("list_colab_variables", top=10))
    expect("".join(row for row in rows_of(reply.text) if "batches" in row), SIZE)
    if model.offers("cleanup_colab", "variables"):
        model.call("cleanup_colab", variables=["batches"])
    else:
        free_by_code(model, full)
    left = int(model.secretly(FREED, RESIDENT))
    assure(full - left > MIN_FREED_MB, f"{full} MB before, {left} MB after")
    expect(model.secretly("print('kept', len(config), len(rows))", r"kept (.+)"), "40 5000")


def free_by_code(model: Model, full: int) -> None:
    """Free it by one remedy after the other, the last of which loses all variables."""
    for remedy in ("del batches", "Out.clear(); _ = __ = ___ = None"):
        reply = model.run(f"{remedy}\n{FREED}")
        if full - int(expect(reply.text, RESIDENT).group(1)) > MIN_FREED_MB:
            return
    if model.call("cleanup_colab").facts["freed_mb"] < MIN_FREED_MB:
        model.call("restart_session")
    model.run(SETUP)

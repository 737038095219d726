"""The line of a job's code by which lists show it."""

from __future__ import annotations

import warnings

import pytest

from smart_colab_executor.jobs.headline import MAX_PARSED_CHARS, headline


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import time\n\n# wait\nEPOCHS = 3\nfor i in range(EPOCHS):\n    time.sleep(1)", "for i in range(EPOCHS):"),
        ("%matplotlib inline\nimport numpy as np\nx = np.zeros(3)", "x = np.zeros(3)"),
        ("import a\nCONFIG = {\n'lr': 1,\n}\ntrain(CONFIG)", "train(CONFIG)"),
        ('TEXT = """\nhello(world)\n"""\nsend(TEXT)', "send(TEXT)"),
        ("def f():\n    return 1\n\nf()", "f()"),
        ("import a\n\n@cache\ndef f():\n    pass", "def f():"),
        ("try:\n    import torch\n    fit()\nexcept ImportError:\n    pass", "fit()"),
        ("if __name__ == '__main__':\n    main()", "main()"),
        ("!pip install x\nimport x", "!pip install x"),
        ("%%bash\nimport this", "%%bash"),
        ("x = 5\ny = x + 1", "x = 5"),
        ("import a\nimport b", "import a"),
        ("# only this", "# only this"),
        ("x = 1\nr = await get()", "r = await get()"),
        ("import a\nfiles = !ls\nprint(files)", "print(files)"),
        ("import a\nprint('broken\nx = 1", "print('broken"),
        ("  x == 1", "x == 1"),
        ("", ""),
        ("\n \n", ""),
        ("a = 1\rb(a)\r\nc", "b(a)"),
        ("\x00", "\x00"),
        ("(" * 10_000, "(" * 10_000),
    ],
)
def test_the_most_telling_line_is_shown(code: str, shown: str) -> None:
    assert headline(code) == shown


TRAINING = """\
import time, torch
t0 = time.time()
torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
print("start")
model = Net().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(EPOCHS):
    loss = step(model, optimizer)
torch.save(model.state_dict(), "model.pt")
print(f"took {time.time() - t0:.1f} s")
"""
PANDAS = """\
import pandas as pd
SOURCE = Path("/content") / "sales.csv"
df = pd.read_csv(SOURCE)
top = df.groupby("shop")["price"].sum()
print(top)
"""
PLOT = """\
fig, ax = plt.subplots(figsize=(8, 4))
ax.plot(steps, losses)
ax.set_title("loss")
plt.show()
"""
HELPER = """\
CONFIG = dict(lr=0.1)
def clean(text):
    return text.strip()

started = time.perf_counter()
cleaned = [clean(text) for text in texts]
elapsed = time.perf_counter() - started
"""
FIT = """\
rng = np.random.default_rng(42)
random.seed(SEED)
x_train, x_test = train_test_split(x, random_state=0)
clf = LogisticRegression()
clf.fit(x_train, y_train)
print(clf.score(x_test, y_test))
"""


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (TRAINING, "for epoch in range(EPOCHS):"),
        (PANDAS, 'top = df.groupby("shop")["price"].sum()'),
        (PLOT, "ax.plot(steps, losses)"),
        (HELPER, "cleaned = [clean(text) for text in texts]"),
        (FIT, "clf.fit(x_train, y_train)"),
        ("!pip install -q x\nprint('done')", "!pip install -q x"),
        ("%%writefile x.py\nimport a\nmain(a)", "%%writefile x.py"),
        ("%%time\nt0 = time.time()\nresult = work(x)", "result = work(x)"),
        ("t0 = time.time()\nx = sum(values)\nprint(x, time.time() - t0)", "x = sum(values)"),
        ("import time\nt0 = time.time()\nprint('start')\nclass Net:\n    pass", "class Net:"),
        ("t0 = time.time()\nprint(len(rows))", "print(len(rows))"),
        ("OUT = Path('out')\nOUT.mkdir(exist_ok=True)\ndf.to_csv(OUT / 'a.csv')", "df.to_csv(OUT / 'a.csv')"),
        ("os.environ['A'] = '1'\nsys.path.insert(0, 'src')\nfrom lib import run\nrun()", "run()"),
        ("model = load_model('m')\nfor row in rows:\n    print(row)", "for row in rows:"),
        ("t0 = time.time()", "t0 = time.time()"),
    ],
)
def test_work_says_more_than_what_prepares_it(code: str, shown: str) -> None:
    assert headline(code) == shown


def test_long_code_is_not_parsed() -> None:
    assert headline("import a\n'''\n" + "x = 1\n" * MAX_PARSED_CHARS + "'''\ngo()") == "go()"


def test_nothing_is_said_about_the_code() -> None:
    with warnings.catch_warnings(record=True) as said:
        headline(r"print('\d')")
    assert said == []

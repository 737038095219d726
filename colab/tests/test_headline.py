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


def test_long_code_is_not_parsed() -> None:
    assert headline("import a\n'''\n" + "x = 1\n" * MAX_PARSED_CHARS + "'''\ngo()") == "go()"


def test_nothing_is_said_about_the_code() -> None:
    with warnings.catch_warnings(record=True) as said:
        headline(r"print('\d')")
    assert said == []

"""Code that asks Colab's page for something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness import Executor

# What `google.colab` does.
ASKING = Path(__file__).parents[2] / "tests" / "support" / "fake_colab" / "in_kernel.py"


@pytest.mark.parametrize("kind", ["GetSecret", "request_auth"])
def test_code_that_asks_the_page_of_a_notebook_gets_an_error_and_never_hangs(
    executor: Executor, session: str, kind: str
) -> None:
    job = executor.run(f"{ASKING.read_text()}\nask_front_end({kind!r})", session=session, timeout_sec=60)
    assert job.state == "failed"
    assert "only Colab's own page can answer this" in job.of("error")[0]["evalue"]
    assert executor.run("print('on')", session=session).stdout == "on\n"

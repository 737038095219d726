"""Output with custom mime types."""

from __future__ import annotations

import base64

import pytest
from harness import Executor

CONTENT = bytes(range(256))
LARGE = 300_000


@pytest.mark.parametrize(
    ("mime", "served"),
    [
        ("image/png", "image/png"),
        ("image/x; a=b", "image/x; a=b"),
        ("image/" + "x" * 294, "application/octet-stream"),
        ("image/" + "%" * 80, "application/octet-stream"),
        ("image/" + "x" * 100_000, "application/octet-stream"),
        ("image/a\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("image/a\n", "application/octet-stream"),
        ("image/\0", "application/octet-stream"),
        ("image/bäö", "application/octet-stream"),
        ("image/日本語", "application/octet-stream"),
        ("image/", "application/octet-stream"),
        ("image", "application/octet-stream"),
        ("image/../../x", "image/../../x"),
    ],
)
def test_a_binary_of_any_type_is_kept_and_served(executor: Executor, mime: str, served: str) -> None:
    text = base64.b64encode(CONTENT).decode()
    job = executor.run(
        f"from IPython.display import display\ndisplay({{{mime!r}: {text!r}}}, raw=True)\nprint('after')"
    )
    assert (job.state, job.stdout) == ("succeeded", "after\n")
    [shown] = job.of("display_data")
    [value] = shown["data"].values()
    reply = executor.call("GET", f"/jobs/{job.job['id']}/blobs/{value['blob']}")
    assert (reply.status, reply.body) == (200, CONTENT)
    assert reply.headers["Content-Type"] == served
    assert reply.headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    ("mime", "served"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("text/" + "x" * 300, "text/plain; charset=utf-8"),
        ("text/é\r\n", "text/plain; charset=utf-8"),
        ("application/é+json", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_a_large_text_of_any_type_is_kept_and_served(executor: Executor, mime: str, served: str) -> None:
    job = executor.run(f"from IPython.display import display\ndisplay({{{mime!r}: 'é' * {LARGE}}}, raw=True)")
    assert job.state == "succeeded"
    [shown] = job.of("display_data")
    reply = executor.call("GET", f"/jobs/{job.job['id']}/blobs/{shown['data'][mime]['blob']}")
    assert (reply.status, reply.body.decode()) == (200, "é" * LARGE)
    assert reply.headers["Content-Type"] == served


@pytest.mark.parametrize(
    ("mime", "value", "head", "tail"),
    [
        ("text/html", f"'<p>' + 'h' * {LARGE} + '</p>'", "<p>hh", "h</p>"),
        ("application/json", f"{{'a': 'j' * {LARGE}}}", '{"a":"jj', 'j"}'),
        ("application/geo+json", f"list(range({LARGE}))", "[0,1,2", "299999]"),
        ("application/vnd.mine+json", f"'x' * {LARGE} + 'end'", "xx", "xend"),
    ],
)
def test_a_large_text_has_its_head_and_tail_in_the_event(
    executor: Executor, mime: str, value: str, head: str, tail: str
) -> None:
    job = executor.run(f"from IPython.display import display\ndisplay({{{mime!r}: {value}}}, raw=True)")
    [shown] = job.of("display_data")
    kept = shown["data"][mime]
    assert kept["bytes"] > LARGE
    assert (kept["head"][: len(head)], kept["tail"][-len(tail) :]) == (head, tail)

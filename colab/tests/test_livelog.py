from typing import Any
from urllib.error import URLError

import pytest

from smart_colab_executor.notebook import live_log
from smart_colab_executor.notebook.live_log import LiveLog


class FakeExecutor:
    """Jobs and their events, served like by the HTTP API."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.down = False
        monkeypatch.setattr(live_log, "request", self.request)

    def job(self, tail: str, state: str, **more: Any) -> str:
        identity = f"01935af2-0000-7000-8000-0000{tail}"
        events = self.events.setdefault(identity, [])
        job: dict[str, Any] = {"id": identity, "state": state, "reason": None, "code_head": f"code_of_{tail}()"}
        job |= {"started_at": None if state == "queued" else "2026", "execution_time_sec": None}
        self.jobs[identity] = job | {"last_seq": len(events)} | more
        return identity

    def add(self, identity: str, **event: Any) -> None:
        self.events[identity].append(event | {"seq": len(self.events[identity]) + 1})
        self.jobs[identity]["last_seq"] = len(self.events[identity])

    def request(self, address: str, token: str, path: str) -> dict[str, Any]:
        assert (address, token) == ("http://127.0.0.1:1", "TOKEN")
        if self.down:
            raise URLError("refused")
        if path.startswith("/jobs?"):
            return {"jobs": list(reversed(self.jobs.values()))}
        identity, query = path.removeprefix("/jobs/").split("/events?")
        after = int(query.split("&")[0].removeprefix("after="))
        events = self.events[identity][after:]
        return {"job": self.jobs[identity], "events": events, "next": after + len(events), "more": False}


class Page:
    """The output under the cell, without the times."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.log = LiveLog("http://127.0.0.1:1", "TOKEN")

    def news(self) -> list[str]:
        self.log.show_news()
        return [line.split("  ", 1)[1] for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> FakeExecutor:
    return FakeExecutor(monkeypatch)


@pytest.fixture
def page(executor: FakeExecutor, capsys: pytest.CaptureFixture[str]) -> Page:
    return Page(capsys)


def test_a_job_is_shown_from_queue_to_end(executor: FakeExecutor, page: Page) -> None:
    assert page.news() == []
    job = executor.job("aaaaaaaa", "queued")
    assert page.news() == ["aaaaaaaa  queued: code_of_aaaaaaaa()"]
    assert page.news() == []
    executor.job("aaaaaaaa", "running")
    executor.add(job, type="started")
    executor.add(job, type="stream", name="stdout", text="one\ntwo\n")
    assert page.news() == ["aaaaaaaa  running: code_of_aaaaaaaa()", "aaaaaaaa  │ one", "aaaaaaaa  │ two"]
    executor.add(job, type="execute_result", data={"text/plain": "3"})
    executor.job("aaaaaaaa", "succeeded", execution_time_sec=1.25)
    executor.add(job, type="finished")
    assert page.news() == ["aaaaaaaa  │ 3", "aaaaaaaa  succeeded after 1.2 s"]
    assert page.news() == []


def test_only_jobs_still_running_at_the_first_look_are_shown(executor: FakeExecutor, page: Page) -> None:
    executor.add(executor.job("aaaaaaaa", "succeeded"), type="stream", text="old")
    executor.add(executor.job("bbbbbbbb", "running"), type="stream", text="still")
    assert page.news() == ["bbbbbbbb  running: code_of_bbbbbbbb()", "bbbbbbbb  │ still"]


def test_quick_jobs_are_shown_whole_in_order(executor: FakeExecutor, page: Page) -> None:
    page.news()
    executor.job("aaaaaaaa", "lost", reason="executor_restarted")
    executor.job("bbbbbbbb", "interrupted", started_at=None)
    assert page.news() == [
        "aaaaaaaa  running: code_of_aaaaaaaa()",
        "aaaaaaaa  lost (executor_restarted)",
        "bbbbbbbb  queued: code_of_bbbbbbbb()",
        "bbbbbbbb  interrupted",
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "stream", "text": " 10%\r 50%\r100%\nnext\n"}, ["100%", "next"]),
        ({"type": "stream", "text": " 50%\r"}, [" 50%"]),
        ({"type": "stream", "text": "a\r\n\nb"}, ["a", "", "b"]),
        ({"type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["…"]}, ["ValueError: no"]),
        ({"type": "progress", "completed": 3, "total": 10}, ["3 of 10 done"]),
        ({"type": "display_data", "data": {"text/plain": "a\nb", "image/png": {"blob": 1}}}, ["a", "b"]),
        ({"type": "display_data", "data": {"image/png": {"blob": 1}}}, ["[image/png]"]),
        ({"type": "execute_result", "data": {"text/plain": {"blob": 1}}}, ["[text/plain]"]),
        ({"type": "later-invention"}, []),
    ],
)
def test_events_are_shown_as_text(event: dict[str, Any], expected: list[str]) -> None:
    assert list(live_log._lines(event)) == expected


@pytest.mark.parametrize(("events", "lines"), [(live_log.EVENTS + 1, 1), (1, live_log.LINES + 1), (1000, 50)])
def test_too_much_output_is_shortened(executor: FakeExecutor, page: Page, events: int, lines: int) -> None:
    page.news()
    job = executor.job("aaaaaaaa", "running")
    for _ in range(events):
        executor.add(job, type="stream", text="x\n" * (lines - 1) + "last\n")
    news = page.news()
    assert news[1] == "aaaaaaaa  │ … (the rest is in the job's log)"
    assert len(news) == 2 + live_log.LINES
    assert news[-1] == "aaaaaaaa  │ last"
    executor.add(job, type="stream", text="more\n")
    assert page.news() == ["aaaaaaaa  │ more"]


def test_a_failed_request_is_caught_up(executor: FakeExecutor, page: Page) -> None:
    executor.down = True
    assert page.news() == []
    executor.down = False
    executor.job("aaaaaaaa", "running")
    assert page.news() == ["aaaaaaaa  running: code_of_aaaaaaaa()"]

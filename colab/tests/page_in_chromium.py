"""The page in a real Chromium: `python -m pytest tests/page_in_chromium.py`.

The program is `SMART_COLAB_CHROMIUM`, or the first one in PATH. Screenshots go to the folder `SMART_COLAB_SCREENSHOTS`.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from harness import PATIENCE, TOKEN, Executor, wait_until
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect, sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
# The page may be slow on a busy machine; it must not be still for so long.
MAX_STALL_MS = 1500
PRINTED = 100_000


def png(width: int, height: int) -> bytes:
    """Make a grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(width)) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SHOWN = f"""
import base64, sys
from IPython.display import HTML, Image, display
print("<script>document.title = 'run'</script>")
print("\\x1b[31mred\\x1b[0m and \\x1b[38;5;208morange\\x1b[0m")
for n in range(0, 101, 10):
    print(f"\\r{{n}}%", end="", file=sys.stderr, flush=True)
print(file=sys.stderr)
display(Image(base64.b64decode({base64.b64encode(png(200, 100))!r})))
run = "parent.document.title = 'run'"
display(HTML(f'<p id=kept>kept</p><script>{{run}}</script><img src=x onerror="{{run}}">'))
table = list(range(1000))
"""
# A loop whose frames get their sizes while the page follows the end, and one of whose iterations is skipped.
FRAMES = """
from IPython.display import HTML, display
display(HTML(f"<p style='height: {40 + 300 * (i % 2)}px'>frame {i}</p>"))
1 / (i - 3)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("SMART_COLAB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)))
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture
def page(browser: Browser, executor: Executor) -> Iterator[Page]:
    """Open a tab in which no script fails and nothing but the executor is asked."""
    faults: list[str] = []
    asked: set[str] = set()
    with browser.new_context(viewport=DESK) as context:
        tab = context.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: asked.add(request.url))
        tab.set_default_timeout(PATIENCE * 1000)
        yield tab
        assert faults == []
        assert {url for url in asked if not url.startswith((f"{executor.ready['url']}/", "blob:"))} == set()


def enter(page: Page, executor: Executor, view: str = "") -> None:
    page.goto(f"{executor.ready['url']}/{view}")
    if not view:
        page.get_by_label("The line that").fill(f"{executor.ready['url']}#{TOKEN}")
    else:
        page.get_by_label("The line that").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#machine .tile").first).to_be_visible()


def output(page: Page) -> str:
    # Not the inner text, which lacks what is scrolled out of sight.
    return "".join(page.locator(".output .lines").all_text_contents())


def look(page: Page, name: str) -> None:
    """Look at the page as it is, in both schemes and on a phone."""
    folder = os.environ.get("SMART_COLAB_SCREENSHOTS")
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
        for size in (DESK, PHONE) if folder else ():
            page.set_viewport_size(size)
            page.screenshot(path=Path(str(folder)) / f"{name}-{scheme}-{size['width']}.png")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESK)


def test_a_job_is_watched_from_the_address_to_its_stop(page: Page, executor: Executor) -> None:
    before = executor.submit(
        "import time\nfor n in range(10_000):\n    print('line', n)\n    time.sleep(0.02)", session="watched"
    )
    page.goto(f"{executor.ready['url']}/#{TOKEN}")
    waiting = executor.submit("pass", session="watched")
    link = page.locator(f"a[href='#/jobs/{before}']")
    expect(page.locator(".job h2"), "what runs is shown without a choice").to_have_text("for n in range(10_000):")
    assert page.evaluate("[location.hash, document.activeElement === document.body]") == ["#/jobs", True]
    expect(page).to_have_title("Jobs · smart-colab")
    expect(page.locator(f"a[href='#/jobs/{waiting}']")).to_contain_text("waitingpasswatched · next in line")
    link.press("Enter")
    expect(link).to_be_focused()
    assert TOKEN not in page.url
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
    expect(page.get_by_role("region", name="Output")).to_contain_text(re.compile(r"line 2\d"))
    expect(page.locator(".job .state")).to_have_text("running")
    expect(page).to_have_title("running: for n in range(10_000): · smart-colab")

    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The connection to the executor is lost")
    page.get_by_role("button", name="Try now").click()
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".job .state")).to_have_text("interrupted")
    expect(page).to_have_title("interrupted: for n in range(10_000): · smart-colab")
    expect(page.locator(".output .note")).to_contain_text("Interrupted")
    lines = [line for line in output(page).splitlines() if line.startswith("line ")]
    assert lines == [f"line {n}" for n in range(len(lines))], "each line once, whatever was cut"
    assert executor.get(f"/jobs/{before}")["job"]["state"] == "interrupted"
    look(page, "job")


def test_a_question_of_the_code_is_answered(page: Page, executor: Executor) -> None:
    code = "name = input('<b>Name</b>? ')\nprint('Hello', name)\nprint('got', input())"
    job_id = executor.submit(code, session="asks", answers=True)
    enter(page, executor, f"#/jobs/{job_id}")
    field = page.get_by_label("<b>Name</b>?")
    field.fill("Ada")
    expect(page.locator(".job .state")).to_have_text("asks")
    look(page, "question")
    field.press("Enter")
    # The next one comes without the first answer.
    field = page.get_by_label("The code waits for a line of input")
    expect(field).to_have_value("")
    number = executor.get(f"/jobs/{job_id}")["job"]["asking"]["number"]
    executor.post(f"/jobs/{job_id}/input", {"number": number, "value": "elsewhere"})
    expect(page.locator(".question")).to_be_hidden()
    expect(page.locator(".job .state")).to_have_text("succeeded")
    assert "Hello Ada\n" in output(page)
    assert "got elsewhere\n" in output(page)


def test_output_is_shown_and_never_run(page: Page, executor: Executor) -> None:
    job = executor.submit(SHOWN)
    enter(page, executor, f"#/jobs/{job}")
    picture = page.get_by_role("img", name="Output of the job")
    expect(picture).to_be_visible()
    wait_until(lambda: picture.evaluate("image => image.naturalWidth") == 200)
    expect(page.frame_locator("iframe").locator("#kept")).to_have_text("kept")
    text = output(page)
    assert "<script>document.title = 'run'</script>" in text
    assert "\n100%\n" in text
    assert "90%" not in text
    red = page.locator(".output .f1").evaluate("node => [node.textContent, getComputedStyle(node).color]")
    assert red[0] == "red"
    expect(page).to_have_title("succeeded: for n in range(0, 101, 10): · smart-colab")
    look(page, "output")

    page.get_by_label("Search the log").fill("ORANGE")
    page.get_by_label("Search the log").press("Enter")
    expect(page.get_by_label("Lines found")).to_have_text("red and orange")
    page.get_by_text("Code", exact=True).click()
    expect(page.get_by_label("Code", exact=True)).to_contain_text("table = list(range(1000))")

    loop = {"start": 0, "stop": 12, "total": 12, "on_error": "skip"}
    job = executor.submit(FRAMES, loop=loop)
    executor.follow(job)
    page.locator(f"a[href='#/jobs/{job}']").click()
    expect(page.locator(".facts")).to_contain_text("· 1 skipped")
    expect(page.frame_locator("iframe").last.get_by_text("frame 11")).to_be_visible()
    wait_until(lambda: page.locator("iframe:not([style*=height])").count() == 0)
    expect(page.get_by_text("To the end")).to_be_hidden()
    below = "region => region.scrollHeight - region.scrollTop - region.clientHeight"
    assert page.get_by_role("region", name="Output").evaluate(below) < 40
    page.get_by_role("region", name="Output").press("Home")
    expect(page.get_by_text("To the end")).to_be_visible()
    page.get_by_role("link", name="Sessions").click()
    page.get_by_text("Variables", exact=True).first.click()
    expect(page.get_by_role("row", name="table list 1000")).to_be_visible()
    look(page, "sessions")


def test_the_workers_of_a_running_operation_are_in_a_table(page: Page, executor: Executor) -> None:
    setup = """
from distributed import LocalCluster
if __name__ == "__main__":
    made = LocalCluster(processes=False, n_workers=2, threads_per_worker=1, memory_limit="2GB", dashboard_address=None)
"""
    places = {"cluster": "made", "setup": setup, "worker_setup": setup}
    loop = {"start": 0, "stop": 400, "total": 400, "on_error": "stop"} | places
    job = executor.submit("import time\ntime.sleep(0.1)", loop=loop, session="clustered")
    enter(page, executor, f"#/jobs/{job}")
    summary = page.locator(".cluster summary")
    for fact in ("2 workers · ", " of 4.0 GB · ", " running, "):
        expect(summary).to_contain_text(fact)
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".cluster .scheduler")).to_contain_text("scheduler inproc://")
    table = page.get_by_role("region", name="Workers of the cluster")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.get_by_role("row").last).to_contain_text(" of 2.0 GB")
    look(page, "cluster")
    executor.post(f"/jobs/{job}/interrupt")
    expect(page.locator(".job .state")).to_have_text("interrupted")
    expect(table).to_be_hidden()
    executor.call("DELETE", "/sessions/clustered")


# What code writes, in pieces, and what a terminal shows then.
DRAWN = [
    (["10%\r20%\r", "30%\n"], "30%\n"),
    (["long line\rshort"], "shortline\n"),
    (["long line\r\x1b[Kshort"], "short\n"),
    (["ab\bc\tx"], "ac      x\n"),
    (["one: 0\ntwo: 0\n\x1b[2A", "one: 1\n", "two: 9\n"], "one: 1\ntwo: 9\n"),
    (["red \x1b[3", "1mtext\x1b[0m"], "red text\n"),
    (["\x1b]8;;https://a.example\x1b\\link\x1b]8;;\x1b\\ \x07end"], "link end\n"),
    (["<b>&amp;</b>\x1b"], "<b>&amp;</b>\n"),
]


def test_text_is_shown_as_a_terminal_shows_it(page: Page, executor: Executor) -> None:
    page.goto(executor.ready["url"])
    draw = """pieces => import("./page/terminal.js").then(({ Terminal, nodes }) => {
        const rows = [];
        const terminal = new Terminal(row => rows.push(row));
        pieces.forEach(piece => terminal.write(piece));
        terminal.flush();
        return nodes(rows).textContent;
    })"""
    for pieces, shown in DRAWN:
        assert page.evaluate(draw, pieces) == shown, pieces


def test_a_hundred_thousand_lines_are_read_without_a_stall(page: Page, executor: Executor) -> None:
    loop = {"start": 0, "stop": 4, "total": 4, "on_error": "stop", "batch_size": None}
    code = f"for n in range(i * {PRINTED // 4}, (i + 1) * {PRINTED // 4}): print('number', n)"
    page.add_init_script("""
        self.stall = 0;
        let last = performance.now();
        setInterval(() => { const now = performance.now(); stall = Math.max(stall, now - last); last = now; }, 20);
    """)
    enter(page, executor)
    page.evaluate("stall = 0")
    job = executor.submit(code, loop=loop, session="long")
    page.get_by_role("link", name=re.compile("number")).click()
    expect(page.locator(".output .note")).to_contain_text("Succeeded")
    expect(page.get_by_text("4 of 4 iterations").first).to_be_visible()
    stall = page.evaluate("stall")
    print(f"longest stall: {stall:.0f} ms")
    assert stall < MAX_STALL_MS

    def numbers() -> list[int]:
        return [int(line.split()[1]) for line in output(page).splitlines() if line.startswith("number ")]

    shown = numbers()
    assert shown == list(range(shown[0], PRINTED))
    assert len(shown) < 25_000
    page.get_by_role("button", name="Show earlier output").click()
    wait_until(lambda: numbers()[0] < shown[0])
    more = numbers()
    assert more == list(range(more[0], PRINTED)), "without a gap, and nothing twice"
    page.get_by_label("Search the log").fill("number 12345")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("Lines found")).to_have_text("number 12345")
    assert executor.get(f"/jobs/{job}")["job"]["log_bytes"] > PRINTED


def test_what_cannot_be_shown_is_a_sentence_with_a_remedy(page: Page, executor: Executor) -> None:
    page.goto(f"{executor.ready['url']}/#not-the-token")
    expect(page.get_by_role("alert")).to_contain_text(
        "does not accept this token.Paste the line that the executor prints now"
    )
    assert "not-the-token" not in page.url
    look(page, "wrong")
    page.get_by_label("The line that").fill(f"https://elsewhere.example#{TOKEN}")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text("for https://elsewhere.example: open it there. Nothing was sent")
    gone = uuid.uuid4()
    enter(page, executor, f"?#/jobs/{gone}")
    expect(page.get_by_role("alert")).to_contain_text(f"There is no job {gone} here.")
    expect(page.locator(".job .state")).to_be_hidden()
    for address, shown in (("#/jobs/%E0%A4%A", "There is no job %E0%A4%A here."), ("#/jobs/zzz", "no job zzz here")):
        page.evaluate("address => { location.hash = address }", address)
        expect(page.get_by_role("alert")).to_contain_text(shown)
    page.evaluate("location.hash = '#/nope'")
    expect(page).to_have_url(re.compile("#/jobs$"))
    expect(page.locator(".jobs")).to_be_visible()

    def many(route: Route) -> None:
        limit = int(route.request.url.rpartition("=")[2])
        real = executor.get("/jobs?limit=1")["jobs"][0]
        made = [{**real, "id": str(uuid.UUID(int=n)), "code_head": f"job {n}"} for n in range(limit)]
        route.fulfill(
            json={"jobs": [] if "state=" in route.request.url else made},
            headers={"X-Boot-Id": executor.ready["boot_id"]},
        )

    executor.run("pass")
    page.route("**/jobs?*", many)
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("button", name="Show the newest 1,000").click()
    expect(page.get_by_text("The newest 1,000 jobs are here; an older one opens by its id.")).to_be_visible()
    page.get_by_label("Filter jobs").fill("job 77")
    expect(page.locator(".jobs li")).to_have_count(11)
    page.get_by_label("Filter jobs").fill(str(gone))
    expect(page.get_by_role("link", name="Open the job with this id")).to_have_attribute("href", f"#/jobs/{gone}")


def test_a_new_token_is_asked_for_when_the_executor_comes_back(
    browser: Browser, start: Callable[..., Executor]
) -> None:
    first = start()
    job = first.run("print('kept')").job["id"]
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{first.ready['url']}/#{TOKEN}")
        page.locator(f"a[href='#/jobs/{job}']").click()
        expect(page.locator(".output")).to_contain_text("kept")
        first.process.terminate()
        expect(page.get_by_role("alert")).to_contain_text("lost")
        first.process.wait(PATIENCE)
        start("--port", first.ready["url"].rpartition(":")[2], token="the-token-of-its-next-start")
        expect(page.get_by_role("alert")).to_contain_text("The executor does not accept this token.")
        assert "kept" not in page.locator("main").inner_text()
        page.get_by_label("The line that").fill("the-token-of-its-next-start")
        page.get_by_role("button", name="Open").click()
        expect(page.locator(".output")).to_contain_text("kept")


def test_behind_a_path_it_works_by_keyboard_and_shows_files(page: Page, executor: Executor) -> None:
    folder = executor.root / "shown"
    folder.mkdir()
    (folder / "table.csv").write_text("a,b\n1,2\n")
    base = f"{executor.ready['url']}/user/bob/proxy/5001"
    page.route(f"{base}/**", lambda route: route.continue_(url=route.request.url.replace("/user/bob/proxy/5001", "")))
    page.goto(f"{base}/#{TOKEN}")
    expect(page.locator("#machine .tile canvas").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="shown/").press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    look(page, "files")
    page.get_by_role("link", name="table.csv").press("Enter")
    expect(page.get_by_label("Content")).to_have_text("a,b\n1,2\n")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").press("Enter")
    assert Path(download.value.path()).read_text() == "a,b\n1,2\n"
    (folder / "table.csv").unlink()
    page.get_by_role("button", name="Download").press("Enter")
    expect(page.get_by_role("alert").last).to_contain_text("There is no")
    expect(page.get_by_label("Content")).to_have_count(0)
    if os.name == "posix":
        os.mkfifo(folder / "back\\slash")
        page.evaluate("path => { location.hash = `#/files/${encodeURIComponent(path)}` }", str(folder / "back\\slash"))
        expect(page.locator(".trail strong")).to_have_text("back\\slash")
        expect(page.get_by_text("This is no regular file")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_have_count(0)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint: {painted:.0f} ms")
    assert page.url.startswith(base)

"""Stand for a person with JupyterLab in a browser: `python chromium_tab.py PORT ADDRESS`.

PORT is the debugging port of a running Chromium, ADDRESS that of a notebook in JupyterLab.
It prints what the page shows of the notebook, one line of JSON, after each change. Each line
of its input, `{"cell": INDEX, "type": TEXT}`, has it click into a cell and type.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

# Between two keys: quick typing.
TYPING_DELAY = 0.03

# Reports what is in the page, at most once in 10 ms. A look at long outputs takes the page's own time, of which it keeps
# most.
WATCH = """
(() => {
  const text = node => node ? node.innerText.replaceAll('\\u200b', '') : '';
  const show = () => {
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(cell => ({
      source: [...cell.querySelectorAll('.cm-line')].map(text).join('\\n'),
      prompt: text(cell.querySelector('.jp-InputPrompt')).trim(),
      outputs: [...cell.querySelectorAll('.jp-OutputArea-output')].map(text).join(''),
      cursors: cell.querySelectorAll('.jp-remote-cursor').length,
    }));
    const people = [...document.querySelectorAll('.jp-remote-userFlag-name')].map(flag => flag.textContent);
    return JSON.stringify({cells, people, at: Date.now() / 1000});
  };
  let waits = false, took = 0;
  const look = () => {
    const begun = performance.now();
    waits = false;
    report(show());
    took = performance.now() - begun;
  };
  new MutationObserver(() => {
    if (waits) return;
    waits = true;
    setTimeout(look, Math.max(10, 4 * took));
  }).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
  look();
})()
"""


class Page:
    """A page, spoken to by the DevTools protocol."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.replies: dict[int, asyncio.Future[Any]] = {}

    async def call(self, method: str, **params: Any) -> Any:
        """Send a command; return its result."""
        number = len(self.replies)
        reply = self.replies[number] = asyncio.get_running_loop().create_future()
        await self.socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        return await reply

    async def receive(self) -> None:
        """Take replies, and print what is reported, until the connection ends."""
        while (message := await self.socket.read_message()) is not None:
            reply = json.loads(message)
            if "id" in reply:
                self.replies[reply["id"]].set_result(reply.get("result", reply))
            elif reply["method"] == "Runtime.bindingCalled":
                sys.stdout.write(reply["params"]["payload"] + "\n")
                sys.stdout.flush()

    async def click_into(self, cell: int) -> None:
        """Click behind the last line of a cell."""
        place = f"""(() => {{
            const lines = document.querySelectorAll('.jp-Notebook .jp-Cell')[{cell}].querySelectorAll('.cm-line');
            const box = lines[lines.length - 1].getBoundingClientRect();
            return {{x: box.right - 5, y: box.top + box.height / 2}};
        }})()"""
        found = await self.call("Runtime.evaluate", expression=place, returnByValue=True)
        for kind in ["mousePressed", "mouseReleased"]:
            at = found["result"]["value"]
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    async def obey(self) -> None:
        """Type what is asked for, until the input's end."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order: dict[str, Any] = json.loads(line)
            await self.click_into(order["cell"])
            for char in order["type"]:
                await self.call("Input.dispatchKeyEvent", type="keyDown", text=char)
                await self.call("Input.dispatchKeyEvent", type="keyUp")
                await asyncio.sleep(TYPING_DELAY)


async def main(port: str, address: str) -> None:
    """Open the notebook, and stay until the input or the connection ends."""
    request = HTTPRequest(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT", body="")
    target = json.loads((await AsyncHTTPClient().fetch(request)).body)
    page = Page(await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=2**30))
    tasks = [asyncio.create_task(page.receive())]
    await page.call("Page.enable")
    await page.call("Runtime.enable")
    await page.call("Runtime.addBinding", name="report")
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    await page.call("Page.navigate", url=address)
    tasks.append(asyncio.create_task(page.obey()))
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

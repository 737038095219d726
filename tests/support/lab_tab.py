"""Stand for a tab of JupyterLab with an open notebook: `python lab_tab.py ADDRESS TOKEN PATH`.

It prints the notebook's cells and what it sees of other people, one line of JSON, after
each change. Each line of its input is about a cell: `{"cell": ID, "type": [TEXT, …]}` has
it type texts one by one at the cell's end, `{"cell": ID, "clear": true}` clear its outputs,
`{"cell": ID, "delete": true}` delete it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import quote

from jupyter_ydoc import YNotebook
from pycrdt import (
    Awareness,
    TransactionEvent,
    YMessageType,
    create_sync_message,
    create_update_message,
    handle_sync_message,
    read_message,
)
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

# Between two texts: quick typing.
TYPING_DELAY = 0.02


class Tab:
    """A client of the notebook's room."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.notebook = YNotebook()
        self.doc = self.notebook.ydoc
        self.awareness = Awareness(self.doc)
        self.is_receiving = False
        self.subscription = self.doc.observe(self.changed)

    def changed(self, event: TransactionEvent) -> None:
        """Send a change of one's own."""
        if not self.is_receiving:
            self.send(create_update_message(event.update))

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.socket.write_message(message, binary=True)

    def show(self) -> None:
        """Print what it sees."""
        people = list(self.awareness.states.values())
        state = {"cells": [cell.to_py() for cell in self.notebook.ycells], "people": people}
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()

    async def receive(self) -> None:
        """Take what others change, until the connection ends."""
        self.send(create_sync_message(self.doc))
        while (message := await self.socket.read_message()) is not None:
            if not isinstance(message, bytes):
                continue
            if message[0] == YMessageType.AWARENESS:
                self.awareness.apply_awareness_update(read_message(message[1:]), self)
                self.show()
            if message[0] != YMessageType.SYNC:
                continue
            self.is_receiving = True
            reply = handle_sync_message(message[1:], self.doc)
            self.is_receiving = False
            if reply is not None:
                self.send(reply)
            self.show()

    async def obey(self) -> None:
        """Do what is asked for, until the input's end."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order: dict[str, Any] = json.loads(line)
            for text in order.get("type", []):
                _, cell = self.find(order["cell"])
                source = cell["source"]
                source += text
                self.show()
                await asyncio.sleep(TYPING_DELAY)
            index, cell = self.find(order["cell"])
            if "clear" in order:
                cell["outputs"].clear()
            if "delete" in order:
                del self.notebook.ycells[index]

    def find(self, wanted: str) -> tuple[int, Any]:
        """Return the index of the cell with this id, and the cell."""
        [found] = [(index, cell) for index, cell in enumerate(self.notebook.ycells) if cell["id"] == wanted]
        return found


async def main(address: str, token: str, path: str) -> None:
    """Join the room, and stay until the input or the connection ends."""
    headers = {"Authorization": f"token {token}"}
    body = json.dumps({"format": "json", "type": "notebook"})
    route = f"{address}/api/collaboration/session/{quote(path)}"
    reply = await AsyncHTTPClient().fetch(route, method="PUT", headers=headers, body=body)
    session = json.loads(reply.body)
    room = f"{address}/api/collaboration/room/json:notebook:{session['fileId']}?sessionId={session['sessionId']}"
    request = HTTPRequest(room.replace("http", "ws", 1), headers=headers)
    tab = Tab(await websocket_connect(request, max_message_size=2**30))
    tasks = [asyncio.create_task(tab.receive()), asyncio.create_task(tab.obey())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

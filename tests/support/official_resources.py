"""List, read and watch resources by the official MCP client, in both protocol eras."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents, ResourceUpdatedNotification, TextResourceContents

PATIENCE = 120.0
# The error code for an unknown resource.
MISSING = {True: -32602, False: -32002}


class Ears:
    """Collects notifications to a client of the old era."""

    def __init__(self) -> None:
        self.updated: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.updated.put_nowait(str(message.params.uri))


async def read(client: Client, uri: str) -> str | bytes:
    """Return the one content of a resource."""
    (content,) = (await client.read_resource(uri)).contents
    assert str(content.uri) == uri, content
    if isinstance(content, TextResourceContents):
        return content.text
    assert isinstance(content, BlobResourceContents), content
    return base64.b64decode(content.blob)


async def await_update(client: Client, ears: Ears, uri: str, change: Callable[[], object]) -> None:
    """Watch a resource until `change` is notified."""
    if client.protocol_version >= "2026":
        async with client.listen(resource_subscriptions=[uri]) as stream:
            assert stream.honored.resource_subscriptions == [uri], stream.honored
            change()
            async for _ in stream:
                return
        raise AssertionError("the stream ended")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await client.subscribe_resource(uri)
        change()
        while await ears.updated.get() != uri:
            pass
        await client.unsubscribe_resource(uri)


async def every_resource(client: Client, ears: Ears, home: Path, job: str) -> int:
    """Read every listed resource and watch a file; return the number of resources."""
    modern = client.protocol_version >= "2026"
    templates = (await client.list_resource_templates()).resource_templates
    assert len({template.uri_template for template in templates}) == 3, templates
    resources, cursor = [], None
    while True:
        page = await client.list_resources(cursor=cursor)
        resources += page.resources
        cursor = page.next_cursor
        if cursor is None:
            break
    contents = {str(resource.uri): await read(client, str(resource.uri)) for resource in resources}
    assert len(contents) == len(resources), resources
    pictures = [uri for uri in contents if uri.endswith(".png")]
    assert pictures, contents.keys()
    for uri in pictures:
        picture = contents[uri]
        assert isinstance(picture, bytes), uri
        assert picture.startswith(b"\x89PNG"), uri
    log = f"smart-colab://jobs/{job}/log"
    assert contents[log] == "".join(f"{i}\n" for i in range(8)), contents[log]
    assert await read(client, f"{log}?from=-4&bytes=2") == "6\n"
    checkpoints = [uri for uri in contents if uri.startswith("smart-colab://checkpoints/")]
    assert checkpoints, contents.keys()
    for uri in checkpoints:
        assert json.loads(contents[uri])["operation"] == uri.rsplit("/", 1)[1], contents[uri]
    for uri in ("file:///etc/passwd", (home / "home").as_uri(), "smart-colab://jobs/7/log"):
        try:
            await client.read_resource(uri)
        except MCPError as error:
            assert error.error.code == MISSING[modern], error
        else:
            raise AssertionError(uri)
    watched = home / "results" / "watched.txt"
    watched.write_text("one")
    os.utime(watched, (0, 0))
    async with asyncio.timeout(PATIENCE):
        await await_update(client, ears, watched.as_uri(), lambda: watched.write_text("two"))
    assert await read(client, watched.as_uri()) == "two"
    return len(resources)

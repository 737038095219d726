"""The fake itself, by hand: `python -m pytest tests/support/fake_colab`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "inner-token"
NBH = "01234567_89ab_4cde_8f01_23456789abcd" + "." * 8
Reply = tuple[int, Any]


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            status, content = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    text = content.removeprefix(b")]}'\n")
    return status, json.loads(text) if text[:1] in (b"{", b"[") else text


class Colab:
    def __init__(self, url: str) -> None:
        self.url = url
        self.access = self.signed_in()

    def signed_in(self) -> str:
        form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "good-1"}
        status, body = self.token(form)
        assert status == 200, body
        token: str = body["access_token"]
        return token

    def token(self, form: dict[str, str]) -> Reply:
        return ask(self.url + "/token", "POST", urllib.parse.urlencode(form).encode())

    def knob(self, **knobs: Any) -> Any:
        status, body = ask(self.url + "/_fake", "POST", json.dumps(knobs).encode())
        assert status == 200, body
        return body

    def call(self, path: str, method: str = "GET", body: Any = None, form: str = "") -> Reply:
        mark = "&" if "?" in path else "?"
        headers = {"Authorization": f"Bearer {self.access}", "Accept": "application/json"}
        headers |= {"X-Colab-Client-Agent": "test", "X-Goog-Colab-Token": form}
        sent = json.dumps(body).encode() if body is not None else b"" if method == "POST" else None
        return ask(f"{self.url}{path}{mark}authuser=0", method, sent, headers)

    def assign(self, query: str = f"nbh={NBH}") -> Reply:
        status, body = self.call(f"/tun/m/assign?{query}")
        assert status == 200, body
        return self.call(f"/tun/m/assign?{query}", "POST", form=body["token"])

    def end(self) -> None:
        _, body = self.call("/tun/m/assignments")
        for one in body.get("assignments", []):
            path = f"/tun/m/unassign/{one['endpoint']}"
            _, form = self.call(path)
            assert self.call(path, "POST", form=form["token"])[0] == 204


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    root = tmp_path_factory.mktemp("root")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    extensions = "jupyter_lsp jupyterlab notebook_shim jupyter_server_ydoc jupyter_server_fileid"
    off = [f"--ServerApp.jpserver_extensions={name}=False" for name in extensions.split()]
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}", *off]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                try:
                    ask(url + "/api")
                    break
                except OSError:
                    time.sleep(0.1)
            yield url, root
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def started(server: tuple[str, Path]) -> Iterator[Colab]:
    command = [sys.executable, str(Path(__file__).parent), "--jupyter-token", TOKEN]
    command += ["--jupyter-url", server[0]] * 20
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Colab(json.loads(process.stdout.readline())["url"])
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.fixture
def colab(started: Colab) -> Iterator[Colab]:
    started.access = started.signed_in()
    started.knob(forget=True)
    yield started
    assert started.knob()["faults"] == []
    started.knob(revoke=False)
    started.access = started.signed_in()
    started.end()


def opened(colab: Colab) -> tuple[str, dict[str, str], str]:
    status, body = colab.assign()
    assert status == 200, body
    proxy = body["runtimeProxyInfo"]
    return proxy["url"], {"X-Colab-Runtime-Proxy-Token": proxy["token"]}, body["endpoint"]


def test_a_lost_answer_leaves_a_machine_that_the_hash_finds(colab: Colab) -> None:
    colab.knob(assign=["lost"])
    with pytest.raises(OSError, match=r"closed|reset"):
        colab.assign(f"nbh={NBH}&variant=GPU&accelerator=T4")
    status, body = colab.call(f"/tun/m/assign?nbh={NBH}&variant=GPU&accelerator=T4")
    assert (status, body["accelerator"], body["variant"]) == (200, "T4", 1)
    assert len(colab.call("/tun/m/assignments")[1]["assignments"]) == 1


def test_refusals(colab: Colab) -> None:
    status, body = colab.assign(f"nbh={NBH}&variant=GPU&accelerator=A100")
    assert status == 400
    assert b"<html" in body
    for outcome, status in (("412", 412), ("503", 503), ("quota_503", 503), ("denylisted", 200), ("quota_1", 200)):
        colab.knob(assign=[outcome])
        assert colab.assign()[0] == status
    assert colab.call("/tun/m/assignments") == (200, {})


def test_sign_in(colab: Colab) -> None:
    verifier = "v" * 50
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect = "http://127.0.0.1:9/back"
    query = {"client_id": "c", "redirect_uri": redirect, "response_type": "code", "state": "s1"}
    query |= {"scope": "openid email https://www.googleapis.com/auth/colaboratory", "code_challenge": challenge}
    query |= {"code_challenge_method": "S256", "access_type": "offline", "prompt": "consent"}
    opener = urllib.request.build_opener(Stay)
    url = f"{colab.url}/auth?{urllib.parse.urlencode(query)}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(url)
    caught.value.close()
    reply = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(caught.value.headers["Location"]).query))
    assert reply["state"] == "s1"
    assert "userinfo.email" in reply["scope"]
    form = {"grant_type": "authorization_code", "client_id": "c", "client_secret": "s", "redirect_uri": redirect}
    form |= {"code": reply["code"], "code_verifier": verifier}
    status, body = colab.token(form)
    assert (status, body["expires_in"]) == (200, 3599)
    assert colab.token(form)[1]["error"] == "invalid_grant"
    colab.knob(revoke=True)
    form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s"}
    assert colab.token(form | {"refresh_token": body["refresh_token"]})[1]["error"] == "invalid_grant"
    assert colab.call("/tun/m/assignments")[0] == 401


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def test_scopes(colab: Colab) -> None:
    colab.knob(scopes=["email"])
    colab.access = colab.signed_in()
    status, body = colab.call("/tun/m/assignments")
    assert (status, body["error"]["details"][0]["reason"]) == (403, "SCOPE_NOT_PERMITTED")
    colab.knob(scopes=None)


def test_the_proxy_passes_large_files_and_forgets_old_tokens(colab: Colab, server: tuple[str, Path]) -> None:
    url, key, endpoint = opened(colab)
    size = 32 * 2**20
    (server[1] / "big.bin").write_bytes(bytes(size))
    status, body = ask(url + "/files/big.bin", headers=key)
    assert (status, len(body)) == (200, size)
    part = json.dumps({"type": "file", "format": "text", "content": "a" * 2**20}).encode()
    assert ask(url + "/api/contents/up.txt", "PUT", part, key)[0] == 201
    colab.knob(lose_contents=1)
    with pytest.raises(OSError, match=r"closed|reset"):
        ask(url + "/api/contents/lost.txt", "PUT", part, key)
    assert (server[1] / "lost.txt").stat().st_size == 2**20
    assert "memory" in ask(url + "/api/colab/resources", headers=key)[1]
    colab.knob(clock=3600)
    assert ask(url + "/api/status", headers=key)[0] == 404
    colab.access = colab.signed_in()
    _, again = colab.call(f"/tun/m/assign?nbh={NBH}")
    assert again["endpoint"] == endpoint
    fresh = {"X-Colab-Runtime-Proxy-Token": again["runtimeProxyInfo"]["token"]}
    assert ask(url + "/api/status", headers=fresh)[0] == 200
    assert ask(url + "/api/status", headers=fresh | {"Host": "9000-x.prod.colab.dev"})[0] == 404
    colab.knob(replace=endpoint)
    assert ask(url + "/api/status", headers=fresh)[0] == 200
    colab.knob(gone=endpoint)
    with pytest.raises(OSError, match="refused"):
        ask(url + "/api/status", headers=fresh)


def test_a_bearer_token_on_a_machine_is_a_fault(colab: Colab) -> None:
    url, key, _ = opened(colab)
    ask(url + "/api/status", headers=key | {"Authorization": "Bearer x"})
    assert colab.knob()["faults"] == ["GET /api/status: Authorization on a machine's host"]
    colab.knob(forget=True)


@pytest.mark.parametrize("protocol", ["v1.kernel.websocket.jupyter.org", None])
def test_a_cell_waits_for_the_front_end(colab: Colab, protocol: str | None) -> None:
    url, key, _ = opened(colab)
    colab.knob(kernel_start_fails=1, colab_request=["GetSecret"])
    assert ask(url + "/api/kernels", "POST", b"{}", key)[0] == 503
    status, kernel = ask(url + "/api/kernels", "POST", b"{}", key)
    assert status == 201
    token = key["X-Colab-Runtime-Proxy-Token"]
    path = f"/api/kernels/{kernel['id']}/channels?session_id=s&colab-runtime-proxy-token={token}"
    asyncio.run(run_a_cell(url.replace("http", "ws") + path, protocol))
    [request] = colab.knob()["colab_requests"]
    assert (request["type"], request["reply"]) == ("GetSecret", "ok")
    assert ask(f"{url}/api/kernels/{kernel['id']}", "DELETE", headers=key)[0] == 204


async def run_a_cell(url: str, protocol: str | None) -> None:
    from frames import decoded, joined

    names = [protocol] if protocol else None
    socket = await websocket_connect(HTTPRequest(url), subprotocols=names)
    assert socket.selected_subprotocol == protocol

    def send(channel: str, kind: str, content: dict[str, Any]) -> None:
        header = {"msg_id": kind, "msg_type": kind, "session": "s", "username": "", "version": "5.3", "date": ""}
        if protocol:
            parts = [header, {}, {}, content]
            socket.write_message(joined([channel.encode(), *(json.dumps(part).encode() for part in parts)]), True)
        else:
            body = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
            socket.write_message(json.dumps(body | {"channel": channel}))

    send("shell", "execute_request", {"code": "print(1 + 1)", "silent": False, "allow_stdin": True})
    seen = []
    while "execute_reply" not in seen:
        message = await socket.read_message()
        assert message is not None
        decoding = decoded(message)
        assert decoding is not None
        _, header, metadata, content = decoding
        seen.append(header["msg_type"])
        if header["msg_type"] == "colab_request":
            assert "stream" not in seen
            value = {"type": "colab_reply", "colab_msg_id": metadata["colab_msg_id"], "data": {}}
            send("stdin", "input_reply", {"value": value})
        if header["msg_type"] == "stream":
            assert content["text"] == "2\n"
            assert "colab_request" in seen
    assert "stream" in seen
    socket.close()


def test_the_official_api(colab: Colab) -> None:
    colab.knob(boot_sec=1000)
    spec = {"variant": "VARIANT_GPU", "accelerator": "T4", "shape": "SHAPE_STANDARD"}
    path = "/v1beta/runtimes?requestId=6a1f7d70-3c1c-4a0e-9a11-0b0c0d0e0f10&runtimeId=mine"
    status, operation = colab.call(path, "POST", {"runtimeSpec": spec})
    assert (status, operation.get("done")) == (200, None)
    assert colab.call(path, "POST", {"runtimeSpec": spec})[1]["name"] == operation["name"]
    colab.knob(clock=1000, boot_sec=0)
    status, done = colab.call(f"/v1/{operation['name']}:wait?timeout=5s")
    assert done["response"]["name"] == "runtimes/mine"
    connection = colab.call("/v1beta/runtimes/mine")[1]["connectionInfo"]
    assert ask(connection["url"] + "/api", headers={"X-Colab-Runtime-Proxy-Token": connection["token"]})[0] == 200
    colab.knob(assign=["denylisted"])
    status, operation = colab.call("/v1beta/runtimes", "POST", {"runtimeSpec": spec})
    assert operation["error"]["details"][0]["reason"] == "DENYLISTED"
    assert colab.call("/v1beta/runtimes/mine", "DELETE") == (200, {})
    assert colab.call("/v1beta/runtimes") == (200, {})
    assert len(colab.call("/v1beta/runtimespecs")[1]["runtimeSpecs"]) > 5
    assert colab.call("/v1beta/subscription")[1]["tier"] == "SUBSCRIPTION_TIER_FREE"


def test_a_keep_alive_is_counted_and_not_answered(colab: Colab) -> None:
    _, _, endpoint = opened(colab)
    path = f"{colab.url}/tun/m/{endpoint}/keep-alive/?authuser=0"
    headers = {"Authorization": f"Bearer {colab.access}", "X-Colab-Tunnel": "Google", "X-Colab-Client-Agent": "t"}
    request = urllib.request.Request(path, headers=headers | {"Accept": "application/json"})
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.2)
    assert colab.call(f"/tun/m/{endpoint}/keep-alive/")[0] == 400
    assert [one["keep_alives"] for one in colab.knob()["machines"] if one["is_alive"]] == [1]
    assert colab.call("/tun/m/ccu-info")[1]["assignmentsCount"] == 1

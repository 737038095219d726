import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Awaitable, Coroutine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar

import pytest

from smart_colab_executor.notebook import tunnels
from smart_colab_executor.notebook.tunnels import Cloudflare, Ngrok, NoTunnel, SetupError, find_cloudflared

T = TypeVar("T")

ADDRESS = "http://127.0.0.1:5001"
unix = pytest.mark.skipif(os.name == "nt", reason="the fake program is a script")

# Output of cloudflared 2026.x: the address appears well before the tunnel works.
OPENED = """\
2026-11-21T10:00:00Z INF Thank you for trying Cloudflare Tunnel.
2026-11-21T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...
2026-11-21T10:00:03Z INF +--------------------------------------------------------------------------------------------+
2026-11-21T10:00:03Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):  |
2026-11-21T10:00:03Z INF |  https://seasonal-deck-organisms-sf.trycloudflare.com                                      |
2026-11-21T10:00:03Z INF +--------------------------------------------------------------------------------------------+
2026-11-21T10:00:03Z INF Version 2026.11.0 (Checksum 0123456789abcdef)
2026-11-21T10:00:03Z INF Settings: map[ha-connections:1 no-autoupdate:true protocol:quic url:http://127.0.0.1:5001]
"""
REGISTERED = "2026-11-21T10:00:04Z INF Registered tunnel connection connIndex=0 connection=1 event=0 protocol=quic\n"
REFUSED = """\
2026-11-21T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...
failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": dial tcp: no such host
"""


def cloudflared(folder: Path, *printed: str, then: str = "time.sleep(600)") -> str:
    """Create a program that prints like cloudflared, on stderr, part by part."""
    program = folder / "cloudflared"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys, time\n"
        f"pathlib.Path({str(folder / 'arguments')!r}).write_text(' '.join(sys.argv[1:]))\n"
        f"for part in {printed!r}:\n"
        "    print(part, end='', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.2)\n"
        f"{then}\n"
    )
    program.chmod(0o755)
    return str(program)


@unix
class TestCloudflare:
    def test_the_tunnel_opens_and_closes(self, tmp_path: Path) -> None:
        tunnel = Cloudflare(ADDRESS, cloudflared(tmp_path, OPENED, REGISTERED), tmp_path / "log")
        assert tunnel.url == "https://seasonal-deck-organisms-sf.trycloudflare.com"
        assert (tmp_path / "arguments").read_text() == f"tunnel --no-autoupdate --url {ADDRESS}"
        assert tunnel.alive()
        assert "Registered tunnel connection" in (tmp_path / "log").read_text()
        tunnel.close()
        assert not tunnel.alive()

    def test_a_refusal_shows_cloudflareds_message(self, tmp_path: Path) -> None:
        program = cloudflared(tmp_path, REFUSED, then="sys.exit(1)")
        with pytest.raises(SetupError, match="no such host"):
            Cloudflare(ADDRESS, program, tmp_path / "log")

    def test_a_tunnel_that_never_registers_times_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tunnels, "CLOUDFLARED_TIMEOUT_SEC", 0.5)
        started = []

        class Popen(subprocess.Popen[bytes]):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                started.append(self)

        monkeypatch.setattr(subprocess, "Popen", Popen)
        with pytest.raises(SetupError, match="did not open"):
            Cloudflare(ADDRESS, cloudflared(tmp_path, OPENED), tmp_path / "log")
        assert started[0].poll() is not None

    def test_the_end_of_cloudflared_is_detected(self, tmp_path: Path) -> None:
        fall = tmp_path / "fall"
        then = f"while not pathlib.Path({str(fall)!r}).exists(): time.sleep(0.05)"
        tunnel = Cloudflare(ADDRESS, cloudflared(tmp_path, OPENED, REGISTERED, then=then), tmp_path / "log")
        fall.touch()
        tunnel._process.wait(30)
        assert not tunnel.alive()
        tunnel.close()


class TestFindCloudflared:
    def test_cloudflared_on_the_path_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = cloudflared(tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        if os.name != "nt":
            assert find_cloudflared(tmp_path / "bin", "http://127.0.0.1:1/never") == program

    @pytest.mark.skipif(sys.platform != "linux", reason="downloaded on Linux only")
    def test_a_missing_cloudflared_is_downloaded_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        asked = []

        class Release(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200 if "amd64" in self.path else 404)
                self.end_headers()
                self.wfile.write(b"#!/bin/sh\n")

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Release) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            source = f"http://127.0.0.1:{server.server_port}/cloudflared-linux-{{machine}}"
            for _ in range(2):
                program = find_cloudflared(tmp_path / "bin", source)
            monkeypatch.setattr(platform, "machine", lambda: "aarch64")
            with pytest.raises(SetupError, match="404"):
                find_cloudflared(tmp_path / "other", source)
            server.shutdown()
        assert program == str(tmp_path / "bin" / "cloudflared")
        assert os.access(program, os.X_OK)
        assert asked == ["/cloudflared-linux-amd64", "/cloudflared-linux-arm64"]
        assert capsys.readouterr().out.count("Downloading cloudflared from") == 2

    def test_unsupported_machines_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        with pytest.raises(SetupError, match="not installed"):
            find_cloudflared(tmp_path)


class FakeListener:
    def __init__(self, url: str) -> None:
        self._url = url

    def url(self) -> str:
        return self._url


class FakeNgrok(ModuleType):
    """Imitates ngrok 1.4: awaitables if an event loop runs, else results; ValueErrors with several arguments."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("ngrok")
        self.error = error
        self.options: dict[str, object] = {}
        self.open: set[str] = set()
        self.session = False

    def forward(self, addr: str, **options: object) -> Awaitable[FakeListener] | FakeListener:
        async def connect() -> FakeListener:
            self.session = True
            if self.error:
                raise self.error
            self.options = {"addr": addr, **options}
            url = f"https://{options.get('domain', 'random-name.ngrok-free.dev')}"
            self.open.add(url)
            return FakeListener(url)

        return self._wrap(connect())

    def kill(self) -> Awaitable[None] | None:
        async def kill() -> None:
            self.open.clear()
            self.session = False

        return self._wrap(kill())

    @staticmethod
    def _wrap(promise: Coroutine[None, None, T]) -> Awaitable[T] | T:
        try:
            return asyncio.get_running_loop().create_task(promise)
        except RuntimeError:
            return asyncio.run(promise)


class TestNgrok:
    @pytest.mark.parametrize("in_a_notebook", [False, True])
    @pytest.mark.parametrize("domain", ["", "mine.ngrok.app"])
    def test_the_tunnel_opens_and_closes(
        self, monkeypatch: pytest.MonkeyPatch, in_a_notebook: bool, domain: str
    ) -> None:
        ngrok = FakeNgrok()
        monkeypatch.setitem(sys.modules, "ngrok", ngrok)

        def use() -> None:
            tunnel = Ngrok(ADDRESS, "secret-token", domain)
            assert tunnel.url == f"https://{domain or 'random-name.ngrok-free.dev'}"
            assert tunnel.alive()
            expected = {"addr": ADDRESS, "authtoken": "secret-token"}
            assert ngrok.options == expected | ({"domain": domain} if domain else {})
            assert ngrok.open
            tunnel.close()
            assert not ngrok.open
            assert not ngrok.session

        async def cell() -> None:
            use()

        if in_a_notebook:
            asyncio.run(cell())
        else:
            use()

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ValueError("failed to connect session", "authentication failed", "ERR_NGROK_105"), "NGROK_TOKEN"),
            (ValueError("failed to start tunnel", "already online", "ERR_NGROK_334"), "domain is in use"),
            (ValueError("failed", "unknown", "ERR_NGROK_1050"), "unknown"),
            (ValueError("failed to connect session", "failed to establish tcp connection"), "tcp connection"),
        ],
    )
    def test_a_refusal_gives_a_remedy(self, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
        ngrok = FakeNgrok(error)
        monkeypatch.setitem(sys.modules, "ngrok", ngrok)
        with pytest.raises(SetupError) as caught:
            Ngrok(ADDRESS, "secret-token", "")
        assert said in str(caught.value)
        assert not ngrok.session
        assert "secret-token" not in str(caught.value)
        assert ("NGROK_TOKEN is not valid" in str(caught.value)) == (error.args[-1] == "ERR_NGROK_105")


def test_no_tunnel_means_the_executors_own_address() -> None:
    tunnel = NoTunnel(ADDRESS)
    tunnel.close()
    assert (tunnel.url, tunnel.alive()) == (ADDRESS, True)


def test_setup_errors_are_shown_without_a_traceback() -> None:
    assert SetupError("Do this.")._render_traceback_() == ["\nDo this.\n"]

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from start_cell import HERE, Run

from smart_colab_executor.notebook import settings, start
from smart_colab_executor.notebook.live_log import request
from smart_colab_executor.notebook.servers import NEEDED
from smart_colab_executor.notebook.settings import Settings
from smart_colab_executor.notebook.tunnels import SetupError

NAMES = (
    "SMART_COLAB_SERVER",
    "SMART_COLAB_TUNNEL",
    "SMART_COLAB_NOTEBOOK_PORT",
    "SMART_COLAB_TOKEN",
    "NGROK_TOKEN",
    "NGROK_DOMAIN",
    "ALLOWED_IPS",
)
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


class TestSettings:
    def read(self, tunnel: str, domain: str = "", **secrets: str) -> Settings:
        return settings.read_settings("executor", tunnel, domain, Path("/content"), lambda name: secrets.get(name, ""))

    def test_ngrok_takes_its_secrets(self) -> None:
        domain = "https://mine.ngrok.app/"
        found = self.read("ngrok", NGROK_TOKEN="secret1", NGROK_DOMAIN=domain, SMART_COLAB_TOKEN="secret2")
        assert (found.ngrok_token, found.ngrok_domain, found.token) == ("secret1", "mine.ngrok.app", "secret2")
        assert "secret" not in repr(found)
        assert (
            self.read("ngrok", " form.ngrok.app ", NGROK_TOKEN="n", NGROK_DOMAIN="x").ngrok_domain == "form.ngrok.app"
        )

    def test_ngrok_without_a_token_says_how_to_get_one(self) -> None:
        with pytest.raises(SetupError, match="NGROK_TOKEN"):
            self.read("ngrok")

    def test_other_tunnels_need_no_ngrok_secrets(self) -> None:
        assert self.read("Cloudflare").tunnel == "cloudflare"
        assert self.read("none").port == 0

    def test_the_environment_overrides_the_form(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SMART_COLAB_TUNNEL", "none")
        monkeypatch.setenv("SMART_COLAB_NOTEBOOK_PORT", "5001")
        found = self.read("ngrok")
        assert (found.tunnel, found.port) == ("none", 5001)

    def test_the_addresses_to_serve_come_from_the_form_or_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(form: str) -> str:
            return settings.read_settings("executor", "none", "", Path("/content"), lambda _: "", form).allowed_ips

        assert read("") == ""
        assert read(" 192.0.2.1, 10.0.0.0/8 ") == "192.0.2.1, 10.0.0.0/8"
        with pytest.raises(SetupError, match="nonsense"):
            read("192.0.2.1 nonsense")
        monkeypatch.setenv("ALLOWED_IPS", "192.0.2.2")
        assert read("192.0.2.1") == "192.0.2.2"
        monkeypatch.setenv("ALLOWED_IPS", "")
        assert read("192.0.2.1") == "192.0.2.1"

    def test_a_jupyter_server_serves_all_addresses_or_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SMART_COLAB_SERVER", "Jupyter Server")
        assert self.read("none").server == "Jupyter Server"
        monkeypatch.setenv("ALLOWED_IPS", "192.0.2.1")
        with pytest.raises(SetupError, match="leave allowed_ips empty"):
            self.read("none")

    @pytest.mark.parametrize("name", ["SMART_COLAB_SERVER", "SMART_COLAB_TUNNEL", "SMART_COLAB_NOTEBOOK_PORT"])
    def test_invalid_settings_are_refused(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "nonsense")
        with pytest.raises(SetupError, match="nonsense"):
            self.read("none")


class FakeUserdata(ModuleType):
    """Imitates google.colab.userdata."""

    class NotebookAccessError(Exception):
        pass

    class SecretNotFoundError(Exception):
        pass

    class TimeoutException(Exception):
        pass

    def __init__(self, answer: str | Exception) -> None:
        super().__init__("google.colab.userdata")
        self.answer = answer

    def get(self, key: str) -> str:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeKaggle(ModuleType):
    """Imitates kaggle_secrets."""

    class BackendError(Exception):
        pass

    def __init__(self, answer: str | Exception) -> None:
        super().__init__("kaggle_secrets")
        self.answer = answer

    def UserSecretsClient(self) -> "FakeKaggle":  # noqa: N802 - its name there
        return self

    def get_secret(self, label: str) -> str:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class TestSecret:
    @pytest.fixture
    def colab(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | Exception], None]:
        def answer(value: str | Exception) -> None:
            package = ModuleType("google.colab")
            package.userdata = userdata = FakeUserdata(value)  # type: ignore[attr-defined]
            for name, module in {"google.colab": package, "google.colab.userdata": userdata}.items():
                monkeypatch.setitem(sys.modules, name, module)
            monkeypatch.setitem(sys.modules, "google", sys.modules.get("google", ModuleType("google")))

        return answer

    def test_a_secret_is_read_from_colab(self, colab: Callable[[str | Exception], None]) -> None:
        colab(" value\n")
        assert settings.secret("NGROK_TOKEN") == "value"

    @pytest.mark.parametrize("error", [FakeUserdata.SecretNotFoundError(), FakeUserdata.TimeoutException()])
    def test_a_missing_secret_is_empty(self, colab: Callable[[str | Exception], None], error: Exception) -> None:
        colab(error)
        assert settings.secret("NGROK_TOKEN") == ""

    def test_a_denied_secret_gives_the_remedy(self, colab: Callable[[str | Exception], None]) -> None:
        colab(FakeUserdata.NotebookAccessError())
        with pytest.raises(SetupError, match=r"NGROK_TOKEN(.|\n)*Notebook access"):
            settings.secret("NGROK_TOKEN")

    @pytest.mark.parametrize(("answer", "expected"), [(" value\n", "value"), (FakeKaggle.BackendError(), "")])
    def test_on_kaggle_secrets_are_those_of_kaggle(
        self,
        colab: Callable[[str | Exception], None],
        monkeypatch: pytest.MonkeyPatch,
        answer: str | Exception,
        expected: str,
    ) -> None:
        colab("one of Colab, whose modules are there too")
        monkeypatch.setitem(sys.modules, "kaggle_secrets", FakeKaggle(answer))
        assert settings.secret("NGROK_TOKEN") == expected

    def test_kaggle_without_internet_gives_the_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "kaggle_secrets", FakeKaggle(ConnectionError("Connection error")))
        with pytest.raises(SetupError, match="Switch on Internet"):
            settings.secret("NGROK_TOKEN")

    def test_outside_colab_a_secret_is_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert settings.secret("NGROK_TOKEN") == ""
        monkeypatch.setenv("NGROK_TOKEN", "value")
        assert settings.secret("NGROK_TOKEN") == "value"


class TestInstall:
    def test_needed_packages_match_the_packages_dependencies(self) -> None:
        project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
        assert sorted(NEEDED) == sorted([*project["dependencies"], *project["optional-dependencies"]["fast"]])

    def test_nothing_is_installed_when_nothing_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        start.install(NEEDED)

    def test_only_what_is_missing_is_installed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        calls: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            calls.append(command)
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no network\n")

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(SetupError, match="no network"):
            start.install(["flask>=3.0", "not-on-this-machine>=1,<2"])
        assert calls[0][:3] == [sys.executable, "-m", "pip"]
        assert [part for part in calls[0] if ">" in part] == ["not-on-this-machine>=1,<2"]
        assert "Installing not-on-this-machine" in capsys.readouterr().out


@posix
def test_a_private_file_is_private_at_all_times(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    file.chmod(0o644)
    start.write_private(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)


def put(address: str, token: str, code: str, number: int = 1) -> dict[str, Any]:
    """Run code like the bridge."""
    path = f"/jobs/01935af2-0000-7000-8000-{number:012d}?wait=25&linger=5"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(address + path, json.dumps({"code": code}).encode(), headers, method="PUT")
    with urllib.request.urlopen(asked) as reply:
        page: dict[str, Any] = json.load(reply)
    return page


def finished(address: str, token: str, number: int = 1) -> dict[str, Any]:
    while True:
        page = request(address, token, f"/jobs/01935af2-0000-7000-8000-{number:012d}/events?after=0&wait=5&linger=5")
        if page["events"] and page["events"][-1]["type"] == "finished":
            return page


def printed(page: dict[str, Any]) -> str:
    return "".join(event["text"] for event in page["events"] if event["type"] == "stream")


def test_the_notebook_serves_shows_running_code_and_ends_on_shutdown(
    launch: Callable[..., Run], tmp_path: Path
) -> None:
    run = launch(str(HERE / "run_notebook.py"), str(tmp_path), SMART_COLAB_TOKEN="a-fixed-token-of-the-user-0123456789")
    address, token = run.line_to_copy()
    assert token == "a-fixed-token-of-the-user-0123456789"
    assert address.startswith("http://127.0.0.1:")
    process = run.executor()
    assert token not in " ".join(process.cmdline())
    assert token not in process.environ().values()
    put(address, token, "import os\nprint('the secret is', os.environ.get('SMART_COLAB_TOKEN'))")
    assert printed(finished(address, token)) == "the secret is None\n"
    assert run.until("running:").endswith("running: print('the secret is', os.environ.get('SMART_COLAB_TOKEN'))")
    assert run.until("│").endswith("│ the secret is None")
    run.until("succeeded after")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        request(address, token, "/files/read?path=.smart_colab/token")
    assert request(address, token, "/shutdown", "POST") == {"status": "stopping"}
    assert run.end() == 0
    assert "Stopped" in "\n".join(run.output)
    assert not process.is_running()


def test_running_the_cell_again_replaces_the_executor_and_keeps_token_and_jobs(cell: Callable[..., Run]) -> None:
    first = cell()
    address, token = first.line_to_copy()
    process = first.executor()
    put(address, token, "print('kept')")
    finished(address, token)
    second = cell()
    second.until("Replacing the executor")
    assert first.end() == 0
    assert not process.is_running()
    address_now, token_now = second.line_to_copy()
    assert token_now == token
    assert printed(finished(address_now, token)) == "kept\n"
    request(address_now, token, "/shutdown", "POST")
    assert second.end() == 0


@posix
def test_stopping_the_cell_stops_executor_and_tunnel(cell: Callable[..., Run], tmp_path: Path) -> None:
    run = cell()
    address, token = run.line_to_copy()
    process = run.executor()
    put(address, token, "print(1)")
    finished(address, token)
    kernels = process.children(recursive=True)
    assert kernels
    run.until("Running code")
    os.killpg(run.process.pid, signal.SIGINT)  # Jupyter interrupts a kernel's whole group
    assert run.end() == 0
    assert "Stopped" in "\n".join(run.output)
    assert psutil.wait_procs([process, *kernels], timeout=60)[1] == []


@posix
def test_an_executor_does_not_outlive_its_notebook(cell: Callable[..., Run]) -> None:
    run = cell()
    run.line_to_copy()
    process = run.executor()
    run.process.kill()
    assert psutil.wait_procs([process], timeout=60)[1] == []


def test_an_executor_that_cannot_start_gives_the_reason(cell: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = cell(SMART_COLAB_NOTEBOOK_PORT=str(taken.getsockname()[1]))
        assert run.end() != 0
    assert "The executor did not start" in "\n".join(run.output)
    assert "in use" in "\n".join(run.output)


def test_an_executor_that_dies_ends_the_cell_with_an_error(cell: Callable[..., Run]) -> None:
    run = cell()
    run.line_to_copy()
    run.executor().kill()
    assert run.end() != 0
    assert "The executor ended with exit code" in "\n".join(run.output)


@posix
def test_a_closed_tunnel_is_reopened_while_code_runs(cell: Callable[..., Run], tmp_path: Path) -> None:
    """Use a cloudflared that invents a name at every start and ends when a file appears."""
    program = tmp_path / "bin" / "cloudflared"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, sys, time\n"
        "print(f'INF |  https://name-{os.getpid()}.trycloudflare.com  |', file=sys.stderr)\n"
        "print('INF Registered tunnel connection connIndex=0', file=sys.stderr, flush=True)\n"
        f"fall = pathlib.Path({str(tmp_path / 'fall')!r})\n"
        "while not fall.exists():\n"
        "    time.sleep(0.05)\n"
        "fall.unlink()\n"
    )
    program.chmod(0o755)
    run = cell("cloudflare", PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}", ALLOWED_IPS="192.0.2.1")
    run.until("Only these addresses are served: 192.0.2.1")
    first, token = run.line_to_copy()
    process = run.executor()
    behind = json.loads((tmp_path / ".smart_colab" / "ready.json").read_text())["url"] + "/health"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(behind, headers={"CF-Connecting-IP": "192.0.2.2"}))
    urllib.request.urlopen(urllib.request.Request(behind, headers={"CF-Connecting-IP": "192.0.2.1"})).close()
    run.until("Running code")
    (tmp_path / "fall").touch()
    run.until("The tunnel closed")
    second, token_now = run.line_to_copy()
    assert first.startswith("https://name-")
    assert second != first
    assert token_now == token
    assert run.executor() == process
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 0

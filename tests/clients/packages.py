"""Clients from the package registries, each installed into a folder of its own below the build folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from home import TARGET

TIMEOUT = 600.0


class NotInstalled(Exception):
    """A client is not to be had on this computer."""


def npm(*packages: str) -> Path:
    """Install packages of npm; return the folder that holds `node_modules`."""
    installer = shutil.which("npm")
    if not installer:
        raise NotInstalled("there is no npm")
    options = ["--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    return _install(packages, lambda folder: [[installer, "--prefix", str(folder), "install", *options, *packages]])


def pip(*packages: str) -> Path:
    """Install packages of PyPI; return the Python that has them."""
    path = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")

    def commands(folder: Path) -> list[list[str]]:
        install = [str(folder.joinpath(*path)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [[sys.executable, "-m", "venv", str(folder)], [*install, *packages]]

    return _install(packages, commands).joinpath(*path)


def _install(packages: tuple[str, ...], commands: Callable[[Path], list[list[str]]]) -> Path:
    folder = TARGET / "clients" / "+".join(package.replace("/", "-").replace("==", "@") for package in packages)
    complete = folder / "complete"
    if complete.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in commands(folder):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise NotInstalled(f"{packages[0]} was not installed within {TIMEOUT:.0f} s") from None
        if done.returncode != 0:
            raise NotInstalled(f"{packages[0]} cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}")
    complete.touch()
    return folder

"""Where a path written in code leads: outside the content root, or to credentials."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

# Below the home folder.
CREDENTIALS = (
    ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker/config.json", ".config/gcloud", ".config/gh", ".netrc",
    "_netrc", ".git-credentials", ".pypirc", ".npmrc", ".pgpass", ".password-store", ".kaggle",
    ".huggingface/token", ".cache/huggingface/token", ".local/share/keyrings", ".mozilla/firefox",
    ".config/google-chrome", ".config/chromium", "library/keychains", "library/application support/google/chrome",
    "library/application support/firefox", "appdata/roaming/microsoft/credentials",
    "appdata/local/google/chrome/user data",
)  # fmt: skip
SYSTEM_CREDENTIALS = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/.ssh")
# For temporary files, and what Colab and Kaggle give a notebook as its own.
FREE = ("/tmp", "/dev/shm", "/content", "/kaggle/working")  # noqa: S108 - nothing is written there
# Its value is known only when the code runs.
UNKNOWN = re.compile(r"[{$]")
OPEN = re.compile(r"[*?\[{$]")


class Places:
    """Paths as the code of one executor means them."""

    def __init__(self, root: Path, home: Path | None = None) -> None:
        self._home = os.path.abspath(home or Path.home())  # noqa: PTH100 - no link is followed yet
        self._root = root
        # macOS has a folder of each user's beside /tmp.
        free = (root, tempfile.gettempdir(), f"{self._home}/.cache", *FREE)
        self._free = [os.path.realpath(folder) for folder in free]

    def is_outside(self, path: str) -> bool:
        """Return whether a path lies neither in the content root nor in a folder for what may go, such as /tmp."""
        full = self._full(path)
        if full is None:
            return False
        full = os.path.realpath(full)
        if UNKNOWN.search(path) and any(_is_in(folder, full) for folder in self._free):
            return False  # what is not known yet may lead there
        return not any(_is_in(full, folder) for folder in self._free)

    def is_secret(self, path: str) -> bool:
        """Return whether a path lies in a folder in which programs keep credentials."""
        full = self._full(path)
        if full is None:
            return False
        for found in {full, os.path.realpath(full)}:
            plain, home = _plain(found), _plain(self._home)
            if any(_is_in(plain, f"{home}/{place}", "/") for place in CREDENTIALS):
                return True
            if any(_is_in(plain, place, "/") for place in SYSTEM_CREDENTIALS):
                return True
        return False

    def _full(self, path: str) -> str | None:
        """Return an absolute path, up to its first part that is known only later; None where that is the first."""
        path = re.sub(r"^(\$HOME|\$\{HOME\}|%USERPROFILE%)(?=[/\\]|$)", "~", path)
        if not path or "\0" in path:
            return None
        if found := OPEN.search(path):
            path = os.path.dirname(path[: found.start()] + "x")  # noqa: PTH120 - it may be empty
            if not path and UNKNOWN.match(found[0]):
                return None
        if path == "~" or path.startswith(("~/", "~\\")):
            path = self._home + path[1:]
        return os.path.normpath(os.path.join(self._root, path))  # noqa: PTH118 - not a path of this system's, perhaps


def _plain(path: str) -> str:
    return os.path.splitdrive(path)[1].replace("\\", "/").lower()


def _is_in(path: str, folder: str, separator: str = os.sep) -> bool:
    return path == folder or path.startswith(folder.rstrip(separator) + separator)

"""Google Drive as the place of saved sessions, which then outlive the machine."""

from __future__ import annotations

import os
from pathlib import Path

from .tunnels import SetupError

# Below the content root: where sessions are saved unless another file is named.
SAVED_SESSIONS = "saved_sessions"


def keep_saved_sessions(root: Path, folder: str) -> None:
    """Mount the user's Drive, for which Colab asks, and keep saved sessions in a folder of it. Raises SetupError."""
    try:
        from google.colab import drive
    except ImportError as error:
        raise SetupError("Only Colab can mount Google Drive: leave drive_folder empty.") from error
    mounted = root / "drive"
    mine = mounted / "MyDrive"
    kept = mine / folder
    if not Path(os.path.normpath(kept)).is_relative_to(mine):
        raise SetupError(f"drive_folder must be a folder in your Drive, such as smart-colab, not {folder!r}.")
    drive.mount(str(mounted))
    kept.mkdir(parents=True, exist_ok=True)
    link = root / SAVED_SESSIONS
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise SetupError(f"{link} is there already: move what it holds to {kept}, remove it, and run this cell again.")
    link.symlink_to(kept, target_is_directory=True)
    print(f"Saved sessions are kept in your Drive, in {folder}.", flush=True)

"""Run the notebook without a browser or a tunnel, and print its output: `python run_notebook.py ROOT`.

It ends when the executor is shut down (POST /shutdown), or when this process is interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "smart_colab_executor.ipynb"


class PrintingClient(NotebookClient):
    """Prints streams as they arrive."""

    def process_message(self, msg: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """Print, then continue as usual."""
        if msg["msg_type"] == "stream":
            print(msg["content"]["text"], end="", flush=True)
        return super().process_message(msg, *arguments, **options)


def main(root: Path, settings: Path) -> None:
    """Run every cell in a kernel of this Python."""
    kernel = settings / "kernels" / "smart-colab-test" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "test", "language": "python"}))
    os.environ |= {
        "JUPYTER_PATH": str(settings),
        "IPYTHONDIR": str(settings / "ipython"),
        "SMART_COLAB_TUNNEL": "none",
        "SMART_COLAB_NOTEBOOK_ROOT": str(root),
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    PrintingClient(notebook, timeout=None, kernel_name="smart-colab-test", resources={}).execute(cwd=str(root))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        main(Path(sys.argv[1]).absolute(), Path(folder))

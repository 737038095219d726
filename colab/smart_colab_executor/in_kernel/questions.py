"""Keeps a debugger from waiting for input that cannot come, and from hiding the error that it was called for.

Runs in the kernel, as `_smart_colab.questions`; standard library only.
"""

from __future__ import annotations

import os
import pdb
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tracebacks import Tracebacks

NO_DEBUGGER = (
    "a debugger cannot be used here, as its prompt (cmdloop) cannot be answered: print the values of interest, or "
    "catch the exception and inspect the variables of its frames"
)


def install(shell: Any, tracebacks: Tracebacks) -> None:
    """Make `%debug`, `pdb.set_trace()` and `breakpoint()` raise an exception, and `%pdb on` do nothing."""
    unanswered = sys.modules["IPython.core.error"].StdinNotImplementedError
    interact = pdb.Pdb.interaction

    def debugger(force: bool = False) -> None:  # noqa: ARG001, RUF100
        if not tracebacks.is_showing:
            raise unanswered(NO_DEBUGGER)

    def interaction(self: Any, *arguments: Any) -> None:
        if self.use_rawinput:
            raise unanswered(NO_DEBUGGER)
        interact(self, *arguments)  # it reads its commands from a file

    def breakpointhook(*arguments: Any, **options: Any) -> None:
        if not os.environ.get("PYTHONBREAKPOINT"):
            raise unanswered(NO_DEBUGGER)
        sys.__breakpointhook__(*arguments, **options)

    shell.debugger = debugger
    pdb.Pdb.interaction = interaction  # type: ignore[assignment]
    sys.breakpointhook = breakpointhook

"""Lets no message fail for a text that UTF-8 cannot hold: half of a character becomes U+FFFD.

Runs in the kernel, as `_smart_colab.packing`; standard library alone.
"""

from __future__ import annotations

import warnings
from typing import Any

from .jsonline import whole


def install(session: Any) -> None:
    """Have the kernel's session pack what it refuses."""
    pack = session.pack
    # NaN in displayed JSON is packed as a text; the advice is for those who write kernels.
    warnings.filterwarnings("ignore", message="Message serialization failed with")

    def pack_whole(value: Any) -> Any:
        try:
            return pack(value)
        except UnicodeEncodeError:
            return pack(_whole(value))

    session.pack = pack_whole


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_whole(name): _whole(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(part) for part in value]
    return value

"""Keeps messages from failing on text that is not valid UTF-8: a lone surrogate becomes U+FFFD.

Runs in the kernel, as `_smart_colab.packing`; standard library only.
"""

from __future__ import annotations

import warnings
from typing import Any

from .jsonline import replace_surrogates


def install(session: Any) -> None:
    """Make the kernel's session pack text with lone surrogates."""
    pack = session.pack
    # NaN in displayed JSON is packed as a string; the warning is meant for authors of kernels.
    warnings.filterwarnings("ignore", message="Message serialization failed with")

    def pack_whole(value: Any) -> Any:
        try:
            return pack(value)
        except UnicodeEncodeError:
            return pack(_whole(value))

    session.pack = pack_whole


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {_whole(name): _whole(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(part) for part in value]
    return value

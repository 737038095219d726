"""The packages sent to a Jupyter server are those published, as a fresh machine gets them, and complete."""

from __future__ import annotations

import hashlib
import re
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from harness import PACKAGE_PARENT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

WHEELS = PACKAGE_PARENT / "wheels"


def metadata() -> dict[str, Message]:
    """Return the wheels' metadata by the names of their distributions."""
    found: dict[str, Message] = {}
    for wheel in WHEELS.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            described = message_from_bytes(archive.read(name))
        found[canonicalize_name(described["Name"])] = described
    return found


def test_the_wheels_are_those_published() -> None:
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in WHEELS.glob("*.whl")}
    listed = (WHEELS / "SHA256SUMS").read_text("ascii").splitlines()
    assert [f"{digest}  {name}" for name, digest in sorted(digests.items())] == listed


def test_the_wheels_have_the_versions_of_a_fresh_machine() -> None:
    pins = (PACKAGE_PARENT / "smart_colab_executor" / "requirements.txt").read_text("utf-8")
    for name, described in metadata().items():
        assert re.search(rf"^{name}=={re.escape(described['Version'])}$", pins, re.MULTILINE), name


def test_the_wheels_need_nothing_but_each_other_and_an_ipykernel() -> None:
    found = metadata()
    for described in found.values():
        for text in described.get_all("Requires-Dist", []):
            requirement = Requirement(text)
            # colorama comes with IPython on Windows.
            if requirement.name != "colorama" and (
                not requirement.marker or requirement.marker.evaluate({"extra": ""})
            ):
                version = found[canonicalize_name(requirement.name)]["Version"]
                assert requirement.specifier.contains(version), text


def test_what_the_wheels_hold_for_one_system_has_a_fallback() -> None:
    compiled = set()
    for wheel in WHEELS.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            compiled |= {
                Path(name).name.partition(".")[0] for name in archive.namelist() if name.endswith((".pyd", ".so"))
            }
    assert compiled <= {"_speedups"}  # of MarkupSafe, which has it in Python too

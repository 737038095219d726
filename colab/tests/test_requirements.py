"""The executor's requirements are installed as they are, without a look at what they need in turn."""

from __future__ import annotations

from importlib.metadata import requires

from harness import PACKAGE_PARENT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def applies(requirement: Requirement) -> bool:
    """Tell whether it is one of this system and Python, without extras."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_the_requirements_name_every_package_that_is_needed() -> None:
    lines = (PACKAGE_PARENT / "smart_colab_executor" / "requirements.txt").read_text("utf-8").splitlines()
    here = [pin for pin in map(Requirement, lines) if applies(pin)]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}
    for name in versions:
        for needed in filter(applies, map(Requirement, requires(name) or [])):
            assert canonicalize_name(needed.name) in versions, f"{name} needs {needed}"
            assert needed.specifier.contains(versions[canonicalize_name(needed.name)]), f"{name} needs {needed}"

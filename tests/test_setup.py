"""What the package is installed from: the ranges of pyproject.toml and the locked versions agree."""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = re.compile(
    r"^([a-z0-9.-]+)(?:\[[a-z0-9,-]+\])?==([^ ]+)(.*?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)
REQUIRED = PYPROJECT["project"]["dependencies"]
BUILDS = PYPROJECT["dependency-groups"]["build"]
DEVELOPS = [line for extra in PYPROJECT["project"]["optional-dependencies"].values() for line in extra]


def locked(name: str) -> dict[str, str]:
    return {found[1]: found[2] for found in LOCKED.finditer((ROOT / name).read_text())}


def locked_lines(name: str) -> list[str]:
    return re.findall(r"^[^\s#].*$", (ROOT / name).read_text(), re.M)


def outside(required: Iterable[str], versions: dict[str, str]) -> list[str]:
    """The requirements that the locked versions do not meet."""
    parsed = map(Requirement, required)
    return [
        str(each) for each in parsed if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    ]


@pytest.mark.parametrize(
    ("name", "required"),
    [("requirements.txt", REQUIRED + BUILDS), ("requirements-dev.txt", REQUIRED + BUILDS + DEVELOPS)],
)
def test_the_lock_meets_every_requirement(name: str, required: list[str]) -> None:
    assert outside(required, locked(name)) == [], "make lock"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_locked_package_has_hashes(name: str) -> None:
    lines = locked_lines(name)
    assert [re.split(r"\[|==", line)[0] for line in lines] == list(locked(name))


def test_a_package_that_others_want_with_an_extra_is_locked_with_it() -> None:
    """Otherwise pip looks for a newer one, and refuses that for want of a hash."""
    pinned = {line.partition("==")[0] for line in locked_lines("requirements-dev.txt")}
    wanted = {
        f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
        for name in locked("requirements-dev.txt")
        for requirement in map(Requirement, _requirements_of(name))
        if requirement.extras and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    }
    assert wanted
    assert wanted <= pinned


def _requirements_of(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # for another system
        return []


def test_both_locks_hold_the_same_versions() -> None:
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


def test_the_lock_holds_what_builds_the_package() -> None:
    assert outside(PYPROJECT["build-system"]["requires"], locked("requirements.txt")) == []


def test_every_requirement_of_the_package_has_a_lower_bound() -> None:
    unbounded = [line for line in REQUIRED if not any(each.operator == ">=" for each in Requirement(line).specifier)]
    assert unbounded == []

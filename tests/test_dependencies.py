"""What we stand on: versions that are safe to stand on, each pinned by its hash."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent

FLOORS = {
    "aiosmtpd": "1.4.6",  # older ones are open to smuggling, and to plaintext after STARTTLS
    "flask": "3.1.1",  # older ones order SECRET_KEY_FALLBACKS wrongly
    "gunicorn": "23",  # older ones mis-parse Transfer-Encoding (HTTP-1)
}
"""threats.md, section 2 and DEP-1."""
FLOORS_IF_USED = {"pyjwt": "2.13.0", "authlib": "1.6.9", "joserfc": "1.6"}
NEVER = {"python-jose", "pycrypto", "jose"}
"""Accepts the header's algorithm when none is given (threats.md, 2)."""


def pins(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each requirement of a file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        matched = re.match(r"([A-Za-z0-9_.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", line)
        assert matched, f"not pinned: {line}"
        found[matched[1].lower().replace("_", "-")] = (
            matched[2],
            re.findall(r"--hash=sha256:([0-9a-f]{64})", line),
        )
    return found


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_by_version_and_hash(name: str) -> None:
    """DEP-1: lock test"""
    found = pins(name)
    assert len(found) > 20
    for package, (pinned, hashes) in found.items():
        assert Version(pinned) >= Version("0"), package
        assert hashes, f"{package} has no hash"


def test_what_tests_run_on_is_what_is_shipped() -> None:
    shipped, tested = pins("requirements.txt"), pins("requirements-dev.txt")
    assert set(shipped) <= set(tested)
    assert {name: shipped[name] for name in shipped} == {name: tested[name] for name in shipped}


def test_each_direct_dependency_is_in_the_lock_and_above_its_own_floor() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shipped = pins("requirements.txt")
    for line in project["dependencies"]:
        wanted = Requirement(line)
        pinned, _ = shipped[wanted.name.lower().replace("_", "-")]
        assert wanted.specifier, f"{line} has no floor"
        assert wanted.specifier.contains(pinned), line


@pytest.mark.parametrize("package", FLOORS)
def test_the_version_floors_of_the_threat_model_hold_everywhere(package: str) -> None:
    """DEP-1: version-floor test"""
    floor = Version(FLOORS[package])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [declared] = [
        Requirement(line)
        for line in project["dependencies"]
        if Requirement(line).name.lower() == package
    ]
    [lowest] = [Version(s.version) for s in declared.specifier if s.operator == ">="]
    assert lowest >= floor, "pyproject.toml"
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert Version(pins(name)[package][0]) >= floor, name
    assert Version(version(package)) >= floor, "installed"


def test_libraries_with_published_forgeries_are_absent_or_mended() -> None:
    """DEP-1, OIDC-5"""
    found = pins("requirements-dev.txt")
    assert not NEVER & set(found)
    for package, floor in FLOORS_IF_USED.items():
        if package in found:
            assert Version(found[package][0]) >= Version(floor), package


def test_form_limits_are_set_by_us() -> None:
    """threats.md, 2 and 3: request 1 MiB"""
    from config import Config

    config = Config()
    assert config.MAX_CONTENT_LENGTH == config.MAX_FORM_MEMORY_SIZE == 1024 * 1024
    assert 0 < config.MAX_FORM_PARTS <= 1000

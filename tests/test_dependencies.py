"""What we build on is pinned by hash, and not older than threats.md, section 2, allows (DEP-1)."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_by_hash(name: str) -> None:
    """DEP-1."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 20
    for line in lines:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==\S+", line), line
        assert "--hash=sha256:" in line, line


@pytest.mark.parametrize(
    ("package", "floor"),
    [
        ("aiosmtpd", (1, 4, 6)),  # smuggling, injected plaintext after STARTTLS
        ("gunicorn", (23, 0)),  # mis-parsed Transfer-Encoding
        ("flask", (3, 1, 1)),  # order of SECRET_KEY_FALLBACKS
    ],
)
def test_known_holes_stay_closed(package: str, floor: tuple[int, ...]) -> None:
    """DEP-1: the version floors."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version(package))[:3])
    assert numbers >= floor


def test_what_runs_it_is_part_of_what_tests_it() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^ ;\\]*==[^ ;\\]+", (ROOT / name).read_text(), re.M))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_no_requirement_names_where_it_comes_from() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        assert "://" not in (ROOT / name).read_text()

"""The project's own tests, for tests that read them."""

from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def own() -> Iterator[Path]:
    """Each module below tests, in order; what clients have installed there is none of them."""
    for path in sorted(TESTS.rglob("*.py")):
        folders = path.relative_to(TESTS).parts[:-1]
        if not any(name == "node_modules" or name.startswith(".") for name in folders):
            yield path

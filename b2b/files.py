"""Where the files lie that are no code of the package: beside it in a checkout, inside it in a
wheel.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_IN_WHEEL = _PACKAGE / "root"
ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
"""Holds templates, static, translations, migrations, app.py and config.py."""

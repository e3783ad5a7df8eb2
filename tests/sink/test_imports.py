"""What the sink is made of."""

import ast
from pathlib import Path

import b2b.sink.smtp

ALLOWED = {"aiosmtpd", "alembic", "nh3", "sqlalchemy", "uvloop"}
OWN = ("b2b.sink", "b2b.clock", "b2b.prepared")
SENDING = {"smtplib", "aiosmtplib", "http", "urllib", "requests", "ftplib", "flask_mail"}


def test_the_sink_imports_no_way_of_sending_and_no_other_room() -> None:
    """SMTP-4, BOX-4"""
    import sys

    for path in Path(b2b.sink.smtp.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                top = name.partition(".")[0]
                assert top not in SENDING, f"{path.name} imports {name}"
                assert top in ALLOWED | sys.stdlib_module_names or name.startswith(OWN), (
                    f"{path.name} imports {name}"
                )

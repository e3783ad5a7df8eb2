"""The house keeps its shape: who imports whom, who commits, who asks for the time."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "b2b"

LEAVES = {
    "actor", "backup", "certificates", "clock", "collector", "database", "errors", "files", "jose",
    "keys", "links", "prepared",
}  # fmt: skip
"""Small modules beside the rooms."""

MAY_IMPORT: dict[str, set[str]] = {
    # room or leaf: prefixes of what it may import beside the standard library and itself
    "models": {"sqlalchemy"},
    "services": {
        "sqlalchemy", "argon2", "email_validator", "idna", "PIL",
        "b2b.models", "b2b.mail.outbox",
        "b2b.actor", "b2b.certificates", "b2b.clock", "b2b.errors", "b2b.jose", "b2b.keys",
        "b2b.links", "b2b.prepared",
    },
    "mail": {
        "sqlalchemy",
        "b2b.models.base", "b2b.models.mail", "b2b.models.picture", "b2b.prepared",
        "b2b.clock", "b2b.links",
    },
    "sink": {"aiosmtpd", "alembic", "nh3", "sqlalchemy", "uvloop", "b2b.clock", "b2b.prepared"},
    "actor": {"b2b.models"},
    "backup": {"sqlalchemy", "b2b.errors", "b2b.models.base"},
    "certificates": {"cryptography"},
    "clock": set(),
    "collector": set(),
    "errors": set(),
    "files": set(),
    "jose": {"cryptography", "joserfc"},
    "keys": {"cryptography", "b2b.errors"},
    "links": {"b2b.errors", "b2b.keys"},
    "prepared": {"sqlalchemy", "orjson"},
    "database": {"alembic", "sqlalchemy", "b2b.errors", "b2b.files", "b2b.prepared"},
}  # fmt: skip
FLASK = {"flask", "flask_babel", "flask_mail", "jinja2"}
WITH_FLASK = {"babel", "markupsafe"}
FLASK_IN_MAIL = {"compose.py", "connection.py"}
EDGES = {"web", "cli.py", "demo.py", "operations.py", "test_double", "worker.py"}
"""Where transactions begin and end; the sink's store has its own engine."""
STORIES = [
    "invitations",
    "invitation_handling",
    "conversions",
    "redemption",
    "redemption_reset",
    "user_handling",
    "sign_in",
    "explanations",
    "visitors",
    "grants",
    "programs",
    "authorization",
    "consent_requests",
    "signing_out",
    "human_steps",
]


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        path = PACKAGE / room
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of everything that *path* imports, inside functions too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def is_within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def strangers(path: Path, allowed: set[str]) -> list[str]:
    return [
        name
        for name in imports_of(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not is_within(name, allowed)
    ]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    for path in sources(room):
        allowed = MAY_IMPORT[room] | {f"b2b.{room}"}
        if room == "mail" and path.name in FLASK_IN_MAIL:
            allowed |= FLASK | WITH_FLASK
        assert strangers(path, allowed) == [], path.relative_to(ROOT)


def test_every_module_has_a_room_or_is_an_edge() -> None:
    edges = {
        "cli",
        "demo",
        "demo_app",
        "demo_clients",
        "extensions",
        "factory",
        "inbox_commands",
        "inbox_webhooks",
        "logs",
        "server",
        "sink_process",
        "standalone",
    }
    edges |= {"operations", "supervisor", "test_double", "testing", "web", "worker"}
    edges |= {"__init__", "__main__"}
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__pycache__"} == edges | set(MAY_IMPORT)


def test_only_the_edges_and_two_mail_modules_know_flask() -> None:
    below = {"models", "services", "sink", *LEAVES}
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in sources("mail", *below)
        if any(
            is_within(name, FLASK | {"flask_sqlalchemy", "flask_wtf"}) for name in imports_of(path)
        )
    }
    assert knowing == {"mail/compose.py", "mail/connection.py"}


def test_the_demo_application_is_a_client_like_any_other() -> None:
    """It knows what it is told over HTTP: no service and no table."""
    inside = {name for name in imports_of(PACKAGE / "demo_app.py") if name.startswith("b2b.")}
    assert inside == {"b2b.clock", "b2b.links", "b2b.web.context.public", "b2b.web.forms.Form"}


def test_what_other_projects_import_knows_nothing_of_the_program() -> None:
    """It speaks HTTP to a process of its own, so that nothing of ours meets theirs in one."""
    sdk = {"kiota_abstractions", "msgraph", "msgraph_core"}
    for path in sources("testing"):
        allowed = {"b2b.testing", "pytest", "httpx"} | (sdk if path.name == "sdk.py" else set())
        assert strangers(path, allowed) == [], path.name


def test_the_process_of_the_sink_loads_neither_pages_nor_directory() -> None:
    """mail-sink.md: memory; a hundred thousand mails within 100 MiB."""
    wanted = [
        name.rpartition(".")[0] if name.rpartition(".")[2][:1].isupper() else name
        for name in imports_of(PACKAGE / "sink_process.py")
        if name.startswith("b2b.") and not is_within(name, {"b2b.certificates", "b2b.test_double"})
    ]
    loaded = subprocess.run(
        [sys.executable, "-c", "import importlib, sys\n"
         f"for name in {[*wanted, 'b2b.test_double.bell']}:\n"
         "    try: importlib.import_module(name)\n"
         "    except ImportError: importlib.import_module(name.rpartition('.')[0])\n"
         "print(*sys.modules)"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert "b2b.sink.server" in loaded
    assert set(loaded) & {"flask", "jinja2", "b2b.models", "b2b.services", "b2b.web"} == set()


def service_graph() -> dict[str, set[str]]:
    names = {path.stem for path in sources("services")} - {"__init__"}
    graph: dict[str, set[str]] = {}
    for path in sources("services"):
        wanted = [name.split(".") for name in imports_of(path)]
        graph[path.stem] = {
            parts[2] for parts in wanted if parts[:2] == ["b2b", "services"] and parts[2] in names
        }
    return graph


def test_services_import_each_other_without_a_cycle() -> None:
    graph = service_graph()
    assert len(graph["invitations"]) > 5, "the graph is read at all"
    done: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"cycle: {' → '.join((*way, name))}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.append(name)

    for name in graph:
        visit(name, ())
    assert set(done) == set(graph)


def test_leaf_services_never_call_stories() -> None:
    for name, wanted in service_graph().items():
        earlier = STORIES[: STORIES.index(name)] if name in STORIES else []
        assert wanted & set(STORIES) <= set(earlier), name


def calls(path: Path, *names: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
    ]


def test_nobody_but_an_edge_commits() -> None:
    """`database.migrate` owns its connection; the sink's store commits by `engine.begin()`."""
    committing = set()
    for path in PACKAGE.rglob("*.py"):
        if calls(path, "commit"):
            committing.add(path.relative_to(PACKAGE).parts[0])
    assert "web" in committing
    assert committing <= EDGES | {"database.py", "sink"}


def test_nobody_but_the_clock_asks_for_the_time() -> None:
    """threats.md, 1: one clock. `logs` stamps its lines itself; ids carry a stamp of their own."""
    asking = []
    for path in [*PACKAGE.rglob("*.py"), ROOT / "config.py", ROOT / "app.py"]:
        if path.name in ("clock.py", "logs.py"):
            continue
        for node in ast.walk(tree_of(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = ast.unparse(node.func.value)
            name = node.func.attr
            if name in ("now", "utcnow", "today", "fromtimestamp") and owner in (
                "datetime", "datetime.datetime", "date", "datetime.date",
            ):  # fmt: skip
                asking.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if owner == "time" and name in ("time", "time_ns", "gmtime", "localtime"):
                asking.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [place.partition(":")[0] for place in asking] == ["b2b/models/base.py"]


TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CONSTANT_MARKUP = "{{ glyphs[name]|safe }}"
"""Drawings that lie in the template itself."""


def test_no_template_and_no_module_lets_data_through_unescaped() -> None:
    """ADM-1: nothing is marked as safe except the icons' own constant drawings."""
    assert len(TEMPLATES) > 30
    unescaped = re.compile(r"\|\s*safe\b|autoescape|\bMarkup\b")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in TEMPLATES
        if unescaped.search(path.read_text("utf-8").replace(CONSTANT_MARKUP, ""))
    ]
    assert found == []
    for path in PACKAGE.rglob("*.py"):
        names = set(imports_of(path)) | {
            node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)
        }
        assert not any(name.endswith("Markup") for name in names), path


PAGES = [path for path in TEMPLATES if "mail" not in path.relative_to(ROOT / "templates").parts]


@pytest.mark.parametrize(
    "pattern",
    [
        r"<style",
        r"<script(?![^>]*\bsrc=)",
        r"<[^>{]*\sstyle\s*=",
        r"<[^>{]*\son[a-z]+\s*=",
        r"javascript:",
        r"(src|href)=[\"'](https?:)?//",
    ],
)
def test_pages_hold_no_inline_code_and_nothing_from_elsewhere(pattern: str) -> None:
    """HTTP-2, ADM-1: the policy forbids it, so a page with it would be broken. Letters differ."""
    assert len(PAGES) > 20
    found = [
        path.relative_to(ROOT).as_posix()
        for path in PAGES
        if re.search(pattern, path.read_text("utf-8"), re.IGNORECASE)
    ]
    assert found == []

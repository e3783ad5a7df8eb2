"""The documents keep their word: promises name tests that exist, and tests’ threats are listed."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import sources

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES = {"security.md": 60, "reliability.md": 18}
"""Where the rows stand, and how many there are at least."""
ID = re.compile(
    r"\b(?:INV|MAIL|RED|SIGN|FED|MFA|SES|ADM|APP|SSP|API|OIDC|SMTP|BOX|CSV|HTTP|DB|LOG|BOOT|DEP|REL)"
    r"-\d+\b"
)
PROOF = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def rows() -> list[tuple[str, list[str]]]:
    """Cells of every row that begins with an id, under the document's name."""
    found = []
    for name in TABLES:
        for line in (ROOT / "docs" / name).read_text("utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("|") and ID.fullmatch(cells[0]):
                found.append((name, cells))
    return found


def functions(path: Path) -> Iterator[tuple[str, str]]:
    """Names of functions, behind those of their classes, and what they say about themselves."""

    def walk(node: ast.AST, before: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield before + child.name, ast.get_docstring(child) or ""
                yield from walk(child, f"{before}{child.name}::")
            elif isinstance(child, ast.FunctionDef):
                yield before + child.name, ast.get_docstring(child) or ""

    yield from walk(ast.parse(path.read_text("utf-8")), "")


def test_there_are_as_many_rows_as_there_were() -> None:
    counted = Counter(name for name, _ in rows())
    for name, least in TABLES.items():
        assert counted[name] >= least, name


def test_every_row_says_what_is_done_and_who_proves_it() -> None:
    for name, cells in rows():
        assert len(cells) == 3, (name, cells)
        assert all(cells), (name, cells[0])
        left = PROOF.sub("", cells[2]).replace("<br>", "").strip()
        assert left == "", (name, cells[0], left)


def test_every_row_stands_once() -> None:
    counted = Counter(cells[0] for _, cells in rows())
    assert {name: count for name, count in counted.items() if count > 1} == {}


def test_every_test_that_is_named_exists() -> None:
    known: dict[str, set[str]] = {}
    missing = []
    for _, cells in rows():
        for path, name in PROOF.findall(cells[2]):
            if path not in known:
                file = ROOT / path
                known[path] = {found for found, _ in functions(file)} if file.exists() else set()
            if name not in known[path] or not name.rpartition("::")[2].startswith("test_"):
                missing.append(f"{cells[0]}: {path}::{name}")
    assert missing == []


def test_every_threat_that_a_test_names_has_its_row() -> None:
    named: dict[str, str] = {}
    for path in sources.own():
        for function, said in functions(path):
            for threat in ID.findall(said):
                named.setdefault(threat, f"{path.relative_to(ROOT)}::{function}")
    assert len(named) > 60
    known = {cells[0] for _, cells in rows()}
    assert {threat: place for threat, place in named.items() if threat not in known} == {}


def test_every_row_of_graphs_parity_table_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "graph.md").read_text("utf-8").partition("## Parity")[2]
    lines = [line for line in table.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 18
    for line in lines:
        _, proof = (cell.strip() for cell in line.strip("|").split("|"))
        assert PROOF.sub("", proof).replace("<br>", "").strip() == "", line
        for path, name in PROOF.findall(proof):
            assert name in {found for found, _ in functions(ROOT / path)}, f"{path}::{name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_documents_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:|<|#)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve()
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, target


def test_every_document_is_reached_from_the_readme() -> None:
    reached, waiting = {DOCUMENTS[0]}, [DOCUMENTS[0]]
    while waiting:
        document = waiting.pop()
        for target in re.findall(r"\]\(([\w/.-]+\.md)", document.read_text("utf-8")):
            linked = (document.parent / target).resolve()
            if linked not in reached:
                reached.add(linked)
                waiting.append(linked)
    assert [path.name for path in DOCUMENTS if path not in reached] == []

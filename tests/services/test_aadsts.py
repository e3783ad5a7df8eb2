"""The catalogue of sign-in errors: every code that can be met has a cause, a cure, a page and a
test.
"""

import ast
import re
from pathlib import Path

import pytest
from flask import Flask

from b2b.services.aadsts import CATALOGUE, SignInRefused
from tests import sources
from tests.pages import Browser

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"AADSTS(\d{4,8})")


def numbers_in(tree: ast.AST) -> set[int]:
    """Whole numbers that an expression may come to."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 10_000
    }


def emitted() -> dict[int, str]:
    """Every number that the program raises, or names in an error, with a file that does."""
    found: dict[int, str] = {}
    for path in sorted((ROOT / "b2b").rglob("*.py")):
        if path.name == "aadsts.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            numbers: set[int] = set()
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SignInRefused":
                numbers = numbers_in(node.args[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                numbers = {int(one) for one in _CODE.findall(node.value)}
            found |= dict.fromkeys(numbers, path.name)
    return found


def test_every_code_that_is_emitted_is_in_the_catalogue_and_the_other_way_round() -> None:
    """tokens.md, section 5"""
    known = emitted()
    assert {number: known[number] for number in set(known) - set(CATALOGUE)} == {}
    assert set(CATALOGUE) - set(known) == set(), "nobody emits these"


def test_every_code_is_produced_by_a_test() -> None:
    named: set[int] = set()
    for path in sources.own():
        if path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                if type(node.value) is int:
                    named.add(node.value)
                elif isinstance(node.value, str):
                    named |= {int(one) for one in _CODE.findall(node.value)}
    assert sorted(set(CATALOGUE) - named) == []


def test_every_code_has_a_page_with_its_cause_and_cure(app: Flask) -> None:
    browser = Browser(app)
    values = {"application": "", "organisation": "", "account": "", "name": ""}
    for number, entry in CATALOGUE.items():
        page = browser.get(f"/error?code={number}")
        assert page.status == 200
        assert f"AADSTS{number}" in page.text, number
        for words in (entry.title, entry.cause, entry.who, entry.cure, entry.says):
            assert words, number
            assert words % values, "only slots that are always filled"
        assert str(SignInRefused(number)), number
        assert entry.error.replace("_", "").islower()


@pytest.mark.parametrize("asked", ["", "1", "99999", "abc", "50011x", "5" * 40, "-50011"])
def test_a_number_that_is_not_known_has_no_page(app: Flask, asked: str) -> None:
    assert Browser(app).get(f"/error?code={asked}").status == 404

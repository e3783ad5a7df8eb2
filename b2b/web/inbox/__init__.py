"""The inbox at /mail: captured mail for testers, as pages and as a part of Mailpit's API."""

from flask import Blueprint

from b2b.web.inbox import mailpit, pages


def blueprints() -> list[Blueprint]:
    """What is registered where the inbox may run at all (threats.md, BOX-5)."""
    return [pages.bp, mailpit.bp]

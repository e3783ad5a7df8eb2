"""The inbox at /mail: captured mail for testers, as pages, as Mailpit's API and as our own."""

from flask import Blueprint

from b2b.web.inbox import (
    api,
    api_faults,
    api_hooks,
    fault_pages,
    mailpit,
    mailpit_chaos,
    mailpit_checks,
    mailpit_events,
    mailpit_sending,
    mailpit_tags,
    pages,
    views,
)

_MORE = (
    api_faults,
    api_hooks,
    fault_pages,
    mailpit_chaos,
    mailpit_checks,
    mailpit_events,
    mailpit_sending,
    mailpit_tags,
    views,
)
"""Imported for the routes that they add to the blueprints of the others."""


def blueprints() -> list[Blueprint]:
    """What is registered where the inbox may run at all (threats.md, BOX-5)."""
    return [pages.bp, mailpit.bp, api.bp]

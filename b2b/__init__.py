"""B2B Collaboration: invite people from outside, let them redeem, and see every mail."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config import Config


def create_app(config: "Config") -> "Flask":
    """Build the web application: a table of contents."""
    from b2b.factory import build

    return build(config)

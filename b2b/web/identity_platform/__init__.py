"""The identity platform's endpoints: one room a module, one blueprint for them all.

Programs are answered in JSON in the shape that their libraries know, people with pages.
"""

from flask import Blueprint

bp = Blueprint("identity_platform", __name__)

from b2b.web.identity_platform import (  # noqa: E402 - they bind themselves to the blueprint
    authorize,
    consent,
    device,
    metadata,
    sign_out,
    token,
)

__all__ = ["authorize", "bp", "consent", "device", "metadata", "sign_out", "token"]

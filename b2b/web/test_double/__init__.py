"""The test tools over HTTP: faults on the way in, a header on the way out, and the API."""

from flask import Flask

from b2b.test_double import state
from b2b.web.test_double import api, faults


def register(app: Flask) -> None:
    """Bind them to *app* where its settings allow test tools at all; nothing elsewhere."""
    if state.is_possible(app.config):
        app.register_blueprint(api.bp)
        faults.register(app)

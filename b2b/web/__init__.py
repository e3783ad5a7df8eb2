"""The browser's and the API's edge: it knows everyone and decides nothing."""

from flask import Flask

from b2b import demo_app
from b2b.web import (
    account,
    admin,
    compression,
    context,
    errors,
    graph,
    headers,
    health,
    home,
    identity_platform,
    inbox_door,
    launch,
    my_apps,
    my_people,
    photo,
    preferences,
    redeem,
    setup,
    sign_in,
    test_double,
)
from b2b.web import filters as _filters
from b2b.web.identity_platform import quick_door
from b2b.web.inbox import blueprints as inbox_blueprints


def register(app: Flask) -> None:
    """Bind hooks, filters, error pages and blueprints to *app*."""
    headers.register(app)
    context.register(app)
    _filters.register(app)
    errors.register(app)
    compression.register(app)
    for blueprint in (
        home.bp,
        health.bp,
        setup.bp,
        sign_in.bp,
        redeem.bp,
        preferences.bp,
        photo.bp,
        my_apps.bp,
        account.bp,
        my_people.bp,
        identity_platform.bp,
        launch.bp,
        admin.bp,
    ):
        app.register_blueprint(blueprint)
    graph.register(app)
    if app.config["INBOX"]:
        for blueprint in inbox_blueprints():
            app.register_blueprint(blueprint)
        inbox_door.register(app)
    if app.config["DEMO"]:
        app.register_blueprint(demo_app.bp)
    quick_door.install(app)
    test_double.register(app)  # last: its faults come before everything else

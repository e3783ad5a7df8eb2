"""The sink with its inbox and API for any project that only wants a mail catcher: no directory."""

import os

import click

from b2b import factory, logs, server, sink_process, supervisor
from b2b.web import inbox_door
from config import Config

PARTS = ("sink", "web", "webhooks")


def run() -> int:
    """Start all and supervise them until told to stop; the exit status.

    Raises StartRefused where they cannot run so.
    """
    # A directory that is never asked: nothing of it can be reached.
    config = Config.from_environment(DATABASE_URL="sqlite://", DEMO=False, TEST_DOUBLE=False)
    app = factory.build(config)
    inbox_door.close_all_but_the_inbox(app)
    settings = app.config
    logs.configure("sink", settings["LOG_LEVEL"])
    if "SHUTDOWN_GRACE" not in os.environ:
        settings["SHUTDOWN_GRACE"] = 5.0
    sink_process.require_allowed(settings)
    supervisor.check_port(settings["HOST"], settings["PORT"], "the inbox", "PORT")
    supervisor.check_port(
        settings["SMTP_HOST"], settings["SMTP_PORT"], "the mail sink", "SMTP_PORT"
    )
    server.certificate(settings)
    with sink_process.shared_memory(settings):
        lines = (
            "",
            f"  Mail is caught at {settings['SMTP_HOST']}:{settings['SMTP_PORT']} "
            "and none leaves this machine.",
            f"  Read it at        {settings['BASE_URL']}/mail",
            f"  API               {settings['BASE_URL']}/mail/api/v1 (Mailpit’s) and /mail/api/v2",
            "",
        )
        return supervisor.Supervisor(app, PARTS).run(lambda: click.echo("\n".join(lines)))

"""Starts the bundled sink from our settings; the sink itself knows none of them."""

from collections.abc import Mapping
from typing import Any

from b2b import collector
from b2b.errors import StartRefused


def serve(config: Mapping[str, Any]) -> None:
    """Catch mail until SIGTERM or SIGINT. Raises StartRefused for a busy port or a newer store."""
    # Loaded here only: web and worker do without the sink's libraries.
    from b2b.sink.server import PortInUse, run
    from b2b.sink.smtp import SinkSettings
    from b2b.sink.store import StoreIsNewer

    if config["PRODUCTION"] and not config["SINK_IN_PRODUCTION"]:
        raise StartRefused("The mail sink does not run in production unless SINK_IN_PRODUCTION=1.")
    settings = SinkSettings(
        host=config["SMTP_HOST"], port=config["SMTP_PORT"], store_url=config["MAIL_STORE_URL"]
    )
    collector.freeze()
    try:
        run(settings)
    except (PortInUse, StoreIsNewer) as error:
        raise StartRefused(str(error)) from error

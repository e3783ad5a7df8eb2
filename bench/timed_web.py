"""The web server as it runs, but each answer says how long the application took for it."""

import time
from collections.abc import Iterable
from typing import Any

from b2b import create_app, logs, server
from config import Config

HEADER = "X-Milliseconds"


def main() -> None:
    """Serve until told to stop, with the settings of the environment."""
    config = Config.from_environment()
    app = create_app(config)
    logs.configure("web", config.LOG_LEVEL)
    inner = app.wsgi_app

    def timed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            took = (time.perf_counter() - begun) * 1000
            return start_response(status, [*headers, (HEADER, f"{took:.3f}")], *more)

        return inner(environ, start)

    app.wsgi_app = timed  # type: ignore[method-assign]
    with app.app_context():
        server.run(app)


if __name__ == "__main__":
    main()

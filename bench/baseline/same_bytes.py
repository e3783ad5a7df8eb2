"""The baseline of lists: a Flask view that answers the same bytes from memory, with no middleware
and no database.
"""

import sys
from pathlib import Path

from flask import Flask, Response

from b2b import server


def build(port: int, content: bytes) -> Flask:
    """The app, to be served as ours is."""
    app = Flask(__name__)
    app.config.update(
        HOST="127.0.0.1",
        PORT=port,
        WEB_WORKERS=1,
        WEB_THREADS=1,
        SHUTDOWN_GRACE=1,
        HTTPS=False,
    )

    @app.get("/users")
    def users() -> Response:
        return Response(content, content_type="application/json")

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    server.run(build(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))

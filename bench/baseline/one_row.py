"""The baseline: a bare Flask view that commits one row, same server and durability, no
middleware.
"""

import sys

from flask import Flask, redirect, request
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert
from werkzeug.wrappers import Response

from b2b import database, server

metadata = MetaData()
rows = Table(
    "rows",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("address", String(320)),
    Column("name", String(256)),
)


def build(url: str, port: int) -> Flask:
    """The app on an engine prepared exactly as ours."""
    app = Flask(__name__)
    engine = create_engine(url, **database.engine_options(url, 5))
    database.prepare(engine)
    metadata.create_all(engine)
    engine.dispose()

    @app.post("/rows")
    def add() -> Response:
        with engine.connect().execution_options(b2b_write=True) as connection:
            connection.execute(
                insert(rows), {"address": request.form["address"], "name": request.form["name"]}
            )
            connection.commit()
        return redirect("/done", 303)

    @app.get("/healthz")
    def live() -> str:
        return "ok"

    app.config.update(HOST="127.0.0.1", PORT=port, WEB_WORKERS=1, WEB_THREADS=1, SHUTDOWN_GRACE=1)
    return app


if __name__ == "__main__":
    server.run(build(sys.argv[1], int(sys.argv[2])))

"""The baseline: a Flask view that commits one row, as one would write it, with no middleware.

Same server, database and durability as ours. `orm` adds one mapped object through Flask-
SQLAlchemy's
session; `core` executes one insert on a bare connection.
"""

import sys

from flask import Flask, redirect, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.wrappers import Response

from b2b import database, server


class Base(DeclarativeBase):
    """Base of the one model."""


class Row(Base):
    """What is committed."""

    __tablename__ = "rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(320))
    name: Mapped[str] = mapped_column(String(256))


db = SQLAlchemy(metadata=Base.metadata)


def build(url: str, port: int) -> Flask:
    """The app on an engine prepared exactly as ours."""
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=database.engine_options(url, 5),
        HOST="127.0.0.1",
        PORT=port,
        WEB_WORKERS=1,
        WEB_THREADS=1,
        SHUTDOWN_GRACE=1,
        HTTPS=False,
    )
    db.init_app(app)
    with app.app_context():
        database.prepare(db.engine)
        Base.metadata.create_all(db.engine)
        db.engine.dispose()

    @app.post("/orm")
    def orm() -> Response:
        database.begin_write(db.session)
        db.session.add(Row(address=request.form["address"], name=request.form["name"]))
        db.session.commit()
        return redirect("/done", 303)

    @app.post("/core")
    def core() -> Response:
        with db.engine.connect().execution_options(b2b_write=True) as connection:
            connection.execute(
                insert(Row), {"address": request.form["address"], "name": request.form["name"]}
            )
            connection.commit()
        return redirect("/done", 303)

    @app.get("/healthz")
    def live() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    server.run(build(sys.argv[1], int(sys.argv[2])))

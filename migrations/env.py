"""Alembic's environment: the models' metadata, no app needed."""

from alembic import context
from sqlalchemy import Connection, create_engine

from b2b.database import engine_options, prepare
from b2b.models import Base

config = context.config


def run(connection: Connection) -> None:
    """Run the migrations on *connection*."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        user_module_prefix="types.",
        # One transaction for all steps on SQLite too, which Alembic would end after each: between
        # two of them another migrator would begin (REL-14).
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = config.attributes.get("url") or config.get_main_option("sqlalchemy.url")
    assert url, "a database address is needed"
    engine = create_engine(url, **engine_options(url, 30))
    prepare(engine)
    try:
        with engine.connect() as opened:
            run(opened)
            opened.commit()
    finally:
        engine.dispose()

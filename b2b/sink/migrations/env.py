"""Runs the mail store's migrations on the connection handed in; there is no other way in."""

from alembic import context

from b2b.sink.tables import FULL_TEXT, VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # FTS5 keeps its index in tables of its own.
    include_name=lambda name, kind, _: kind != "table" or not (name or "").startswith(FULL_TEXT),
)
with context.begin_transaction():
    context.run_migrations()

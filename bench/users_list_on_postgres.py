"""The same list on a PostgreSQL of its own."""

from bench import users_list
from bench.report import Result
from tests.databases import PostgresTemplate


def run() -> list[Result]:
    """As `users_list`."""
    server = PostgresTemplate(durable=True)
    try:
        with server.fresh() as small, server.fresh() as large:
            return users_list.measure("PostgreSQL", [small, large])
    finally:
        server.close()

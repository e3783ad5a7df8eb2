"""The same crowd on a PostgreSQL of its own, whose commits are durable."""

import os

from bench import redeeming_crowd
from bench.report import Result
from tests.databases import PostgresTemplate


def run() -> Result:
    """As `redeeming_crowd`, with the bar for PostgreSQL."""
    server = PostgresTemplate(durable=True)
    try:
        with server.fresh() as url:
            os.environ["BENCH_DATABASE_URL"] = url
            try:
                return redeeming_crowd.run()
            finally:
                del os.environ["BENCH_DATABASE_URL"]
    finally:
        server.close()

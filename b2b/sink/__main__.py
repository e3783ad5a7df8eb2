"""``python -m b2b.sink``: the sink alone, logging to standard error."""

import argparse
import logging
import sys
from pathlib import Path

from b2b.sink.faults import BadRule
from b2b.sink.server import run
from b2b.sink.settings import CannotServe, SinkSettings
from b2b.sink.store import StoreIsNewer


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and serve until told to stop; exit status 1 if it could not start."""
    usual = SinkSettings()
    parser = argparse.ArgumentParser(prog="python -m b2b.sink", description=__doc__)
    parser.add_argument("--host", default=usual.host)
    parser.add_argument("--port", type=int, default=usual.port, help="0 takes a free one")
    parser.add_argument("--store-url", default=usual.store_url, help="default: %(default)s")
    parser.add_argument("--certificate", type=Path, help="PEM file; STARTTLS is offered")
    parser.add_argument("--key", type=Path, help="PEM file of its key, if apart")
    parser.add_argument("--tls-port", type=int, help="another port, where TLS begins at once")
    parser.add_argument("--users", type=Path, help="file of name:password; others are refused")
    parser.add_argument("--faults", type=Path, help="JSON file of faults to commit on purpose")
    parser.add_argument("--keep", type=int, default=usual.keep_mails, help="mails; 0 for all")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    settings = SinkSettings(
        host=options.host,
        port=options.port,
        store_url=options.store_url,
        certificate=options.certificate,
        key=options.key,
        tls_port=options.tls_port,
        users_file=options.users,
        faults_file=options.faults,
        keep_mails=options.keep,
    )

    def ready(port: int) -> None:
        sys.stdout.write(f"Mail sink on {options.host}:{port}\n")
        sys.stdout.flush()

    try:
        run(settings, ready=ready)
    except (CannotServe, StoreIsNewer, BadRule) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

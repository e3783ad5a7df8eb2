"""``python -m b2b.sink``: the sink alone, logging to standard error."""

import argparse
import logging
import sys

from b2b.sink.server import PortInUse, run
from b2b.sink.smtp import SinkSettings
from b2b.sink.store import StoreIsNewer


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and serve until told to stop; exit status 1 if it could not start."""
    usual = SinkSettings()
    parser = argparse.ArgumentParser(prog="python -m b2b.sink", description=__doc__)
    parser.add_argument("--host", default=usual.host)
    parser.add_argument("--port", type=int, default=usual.port, help="0 takes a free one")
    parser.add_argument("--store-url", default=usual.store_url, help="default: %(default)s")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    def ready(port: int) -> None:
        sys.stdout.write(f"Mail sink on {options.host}:{port}\n")
        sys.stdout.flush()

    try:
        run(SinkSettings(options.host, options.port, options.store_url), ready=ready)
    except (PortInUse, StoreIsNewer) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m b2b up`: the commands of `flask --app app …`, also where a wheel was installed."""

import gc
import sys

from b2b.files import ROOT


def main() -> None:
    """Run one command of the command line."""
    # Before everything else: another project's app.py or config.py may lie where it is started.
    sys.path.insert(0, str(ROOT))
    # Modules stay for good: looking through them again and again while they load finds nothing.
    gc.disable()
    from flask.cli import FlaskGroup

    from app import app

    gc.enable()
    # No .env of another project either: what it sets is the other project's.
    FlaskGroup(create_app=lambda: app, load_dotenv=False).main(prog_name="b2b")


if __name__ == "__main__":
    main()

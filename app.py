"""Builds the app for `flask --app app …`; `python app.py` starts everything for a first look."""

import gc
import sys

# What is loaded now stays. To look through it for garbage takes a tenth of a start.
gc.disable()

from flask.cli import FlaskGroup  # noqa: E402

from b2b import create_app  # noqa: E402
from b2b.errors import StartRefused  # noqa: E402
from config import BadSetting, Config  # noqa: E402

try:
    app = create_app(Config.from_environment())
except (BadSetting, StartRefused, PermissionError) as error:
    sys.exit(f"b2b: {error}")
gc.freeze()
gc.enable()

if __name__ == "__main__":
    FlaskGroup(create_app=lambda: app).main(args=["up"], prog_name="app.py")

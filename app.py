"""Builds the app for `flask --app app …`; `python app.py` starts everything for a first look."""

import sys

from flask.cli import FlaskGroup

from b2b import create_app
from b2b.errors import StartRefused
from config import BadSetting, Config

try:
    app = create_app(Config.from_environment())
except (BadSetting, StartRefused, PermissionError) as error:
    sys.exit(f"b2b: {error}")

if __name__ == "__main__":
    FlaskGroup(create_app=lambda: app).main(args=["up"], prog_name="app.py")

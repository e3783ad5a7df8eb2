"""`python -m migrations.new "What changes"`: a revision from the difference between models and
database.
"""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command

from b2b import clock
from b2b.database import alembic_config, migrate


def main(words: str) -> None:
    """Write migrations/versions/<date>_<slug>.py; an empty database at head is what it compares
    with.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'empty.sqlite3'}"
        migrate(url)
        config = alembic_config(url)
        config.set_main_option("file_template", "%%(rev)s")
        revision = f"{clock.now():%Y%m%d}_{slug}"
        command.revision(config, message=words, autogenerate=True, rev_id=revision)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit('usage: make migration NAME="What changes"')
    main(sys.argv[1])

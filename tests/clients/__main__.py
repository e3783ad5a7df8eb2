"""`python -m tests.clients` installs the packages."""

from tests.clients import install

install()

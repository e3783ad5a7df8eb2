"""Flask's extensions, created once and bound to the app in create_app."""

from typing import Any

from flask_babel import Babel
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine

from b2b.models import Base


class DirectorySession(Session):
    """There is one database, so the engine is looked up once and not for every statement."""

    _found: Engine | Connection | None = None

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        """The engine of this session's application."""
        if self._found is None:
            self._found = super().get_bind(*args, **kwargs)
        return self._found


db = SQLAlchemy(
    metadata=Base.metadata,
    session_options={"class_": DirectorySession, "expire_on_commit": False},
)
csrf = CSRFProtect()
mail = Mail()
babel = Babel()

"""Flask's extensions, created once and bound to the app in create_app."""

import contextlib
from collections.abc import Callable
from typing import Any

from flask_babel import Babel
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import SessionTransaction

from b2b import database
from b2b.models import Base


class DirectorySession(Session):
    """There is one database, so the engine is looked up once and not for every statement."""

    _found: Engine | Connection | None = None

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        """The engine of this session's application."""
        if self._found is None:
            self._found = super().get_bind(*args, **kwargs)
        return self._found

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """The connection of the transaction under way, remembered: every statement asks for it."""
        under_way: Connection | None = self.info.get(database.CONNECTION)
        if under_way is not None and not args and not kwargs:
            return under_way
        return super().connection(*args, **kwargs)

    def rollback(self) -> None:
        """Undo; a connection that broke meanwhile has nothing left to undo (threats.md, REL-7)."""
        self._end(super().rollback)

    def close(self) -> None:
        """End the transaction and give the connection back; one that broke is thrown away."""
        self._end(super().close)

    def _end(self, how: Callable[[], None]) -> None:
        try:
            how()
        except DBAPIError as error:
            if not database.is_busy(error):
                raise
            # The server is away and has forgotten the transaction; so does the session, whose
            # connection nobody may meet again.
            with contextlib.suppress(DBAPIError):
                self.invalidate()
            self.info.pop(database.CONNECTION, None)


@event.listens_for(DirectorySession, "after_begin")
def _began(session: Session, _: SessionTransaction, connection: Connection) -> None:
    session.info[database.CONNECTION] = connection


@event.listens_for(DirectorySession, "after_transaction_end")
def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(database.CONNECTION, None)


db = SQLAlchemy(
    metadata=Base.metadata,
    session_options={"class_": DirectorySession, "expire_on_commit": False},
)
csrf = CSRFProtect()
mail = Mail()
babel = Babel()

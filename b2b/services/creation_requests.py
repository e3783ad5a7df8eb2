"""Requests that made something, forgotten when nobody sends them again."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from b2b.models import CreationRequest


def purge(session: Session, now: datetime) -> None:
    """Forget those whose time is over."""
    session.execute(delete(CreationRequest).where(CreationRequest.expires_at < now))

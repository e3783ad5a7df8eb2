"""Saved views: one's own, cleaned, and few."""

import pytest
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Invalid, NotFound
from b2b.services import saved_views
from tests.cast import Cast, acting
from tests.conftest import Clock

NAMES = ("type", "q")


def test_a_view_keeps_filters_and_nothing_else(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    query = "type=Guest&after=x&q=%EA%B9%80&csrf_token=secret&state="
    view = saved_views.save(session, john, "users", name=" My  guests ", query=query, names=NAMES)
    assert (view.name, view.query) == ("My guests", "q=%EA%B9%80&type=Guest")
    again = saved_views.save(
        session, john, "users", name="My guests", query="type=Member", names=NAMES
    )
    assert (again.id, again.query) == (view.id, "type=Member")
    assert [one.name for one in saved_views.of(session, john, "users")] == ["My guests"]
    assert saved_views.of(session, john, "invitations") == []


def test_views_are_for_oneself_alone(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    view = saved_views.save(session, john, "users", name="V", query="type=Guest", names=NAMES)
    assert saved_views.of(session, adele, "users") == []
    with pytest.raises(NotFound):
        saved_views.remove(session, adele, view.id)
    assert saved_views.remove(session, john, view.id) == "V"
    with pytest.raises(NotFound):
        saved_views.remove(session, john, view.id)


@pytest.mark.parametrize(
    ("name", "query"),
    [("", "type=Guest"), ("n" * 65, "type=Guest"), ("a\x00b", "type=Guest"), ("V", ""),
     ("V", "after=1"), ("V", "q=" + "x" * 2000)],
)  # fmt: skip
def test_what_is_no_view_is_refused(
    session: Session, cast: Cast, clock: Clock, name: str, query: str
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid):
        saved_views.save(session, john, "users", name=name, query=query, names=NAMES)


def test_twenty_views_are_enough(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for number in range(20):
        saved_views.save(session, john, "users", name=f"V{number}", query="q=a", names=NAMES)
    with pytest.raises(Conflict, match="At most 20"):
        saved_views.save(session, john, "users", name="One more", query="q=a", names=NAMES)

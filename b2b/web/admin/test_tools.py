"""The test tools as a page: clock, faults and snapshots of a demo or a test installation."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import FloatField, SelectField, StringField
from wtforms.validators import Optional

from b2b import clock
from b2b.errors import Invalid, NotFound
from b2b.extensions import db
from b2b.models import FaultKind
from b2b.services import test_double
from b2b.services.permissions import Action
from b2b.test_double import snapshots, state
from b2b.test_double.state import Double
from b2b.web.admin import bp
from b2b.web.context import allowed, writing
from b2b.web.forms import ButtonForm, Form, Whole
from b2b.web.test_double import faults


class _Number(FloatField):
    """A number, whose error is in our words."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata([text.strip() for text in valuelist])
        except ValueError:
            raise ValueError(gettext("Enter a number.")) from None


class ClockForm(Form):
    """How much time passes."""

    days = _Number(lazy_gettext("Days"), validators=[Optional()])
    hours = _Number(lazy_gettext("Hours"), validators=[Optional()])
    minutes = _Number(lazy_gettext("Minutes"), validators=[Optional()])


class FaultForm(Form):
    """Which requests meet which fault."""

    path = StringField(lazy_gettext("Path"))
    kind = SelectField(lazy_gettext("What happens"))
    status = Whole(lazy_gettext("Status"), validators=[Optional()])
    retry_after = Whole(lazy_gettext("Retry-After, in seconds"), validators=[Optional()])
    latency = _Number(lazy_gettext("Seconds by which it is late"), validators=[Optional()])
    method = StringField(lazy_gettext("Method"))
    percent = _Number(lazy_gettext("Share of requests, in per cent"), validators=[Optional()])
    times = Whole(lazy_gettext("How many requests in all"), validators=[Optional()])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kind.choices = list(kinds().items())


class LagForm(Form):
    """How late lists are."""

    seconds = _Number(lazy_gettext("Seconds until Graph’s lists show a new object"))


class SnapshotForm(Form):
    """What a snapshot is called."""

    name = StringField(lazy_gettext("Name"))


def kinds() -> dict[str, str]:
    """What can happen to a request, in the reader's language."""
    return {
        str(FaultKind.STATUS): gettext("An error is answered"),
        str(FaultKind.LATENCY): gettext("The answer comes late"),
        str(FaultKind.DROP): gettext("The connection ends without an answer"),
    }


def _double() -> Double:
    found = state.of_app()
    if found is None:
        raise NotFound()
    return found


def _plain(number: float) -> float:
    """5 rather than 5.0."""
    return int(number) if number == int(number) else number


def _show(**forms: Form) -> str:
    found = _double().state()
    lag = LagForm(formdata=None, data={"seconds": _plain(found.visible_after.total_seconds())})
    usual: dict[str, Form] = {
        "clock_form": ClockForm(formdata=None),
        "fault_form": FaultForm(formdata=None, data={"status": 429, "percent": 100}),
        "lag_form": lag,
        "snapshot_form": SnapshotForm(formdata=None),
    }
    shown = {**usual, **forms}
    real = clock.unmoved()
    return render_template(
        "admin/test_tools.html",
        **shown,
        form=next(iter(forms.values()), shown["clock_form"]),
        offset=faults.in_words(found) if found.offset else None,
        here=real + found.offset,
        real=real,
        rules=test_double.faults(db.session()),
        kinds=kinds(),
        snapshots=snapshots.taken(current_app.config),
        start=snapshots.START,
        lag=found.visible_after,
    )


@contextmanager
def _named(**names: str) -> Iterator[None]:
    """A service's name for a value is another one than the field's."""
    try:
        yield
    except Invalid as error:
        error.field = names.get(error.field, error.field)
        raise


def _back() -> ResponseReturnValue:
    return redirect(url_for(".test_tools"), 303)


@bp.get("/test-tools")
@allowed(Action.MANAGE_POLICY)
def test_tools() -> ResponseReturnValue:
    """Test tools."""
    _double()
    return _show()


@bp.post("/test-tools/clock")
@allowed(Action.MANAGE_POLICY)
def advance_clock() -> ResponseReturnValue:
    """Let time pass."""
    _double()
    form = ClockForm()
    if form.validate_on_submit():
        with form.reporting(), _named(offset="days"):
            amounts = {name: form[name].data or 0 for name in ("days", "hours", "minutes")}
            if max(abs(value) for value in amounts.values()) > 1e6:
                amounts = {"days": 1e6}
            with state.telling(writing) as session:
                test_double.move_clock(session, by=timedelta(**amounts))
            return _back()
    return _show(clock_form=form)


@bp.post("/test-tools/clock/reset")
@allowed(Action.MANAGE_POLICY)
def reset_clock() -> ResponseReturnValue:
    """The real time again."""
    _double()
    if ButtonForm().validate_on_submit():
        with state.telling(writing) as session:
            test_double.move_clock(session, to=timedelta(0))
    return _back()


@bp.post("/test-tools/faults")
@allowed(Action.MANAGE_POLICY)
def add_fault() -> ResponseReturnValue:
    """Add a fault."""
    _double()
    form = FaultForm()
    if form.validate_on_submit():
        kind = FaultKind(form.kind.data)
        answers = kind is FaultKind.STATUS
        percent = 100.0 if form.percent.data is None else form.percent.data
        with form.reporting(), _named(share="percent"):
            with state.telling(writing) as session:
                test_double.add_fault(
                    session,
                    path=form.path.data or "",
                    kind=kind,
                    method=form.method.data or None,
                    share=percent / 100,
                    status=form.status.data if answers else None,
                    retry_after=form.retry_after.data if answers else None,
                    latency=timedelta(seconds=min(max(form.latency.data or 0, -1), 1e6)),
                    times=form.times.data,
                    now=clock.unmoved(),
                )
            return _back()
    return _show(fault_form=form)


@bp.post("/test-tools/faults/<uuid:rule_id>/remove")
@allowed(Action.MANAGE_POLICY)
def remove_fault(rule_id: UUID) -> ResponseReturnValue:
    """Take a fault away."""
    _double()
    if ButtonForm().validate_on_submit():
        with state.telling(writing) as session:
            test_double.remove_fault(session, rule_id)
    return _back()


@bp.post("/test-tools/lag")
@allowed(Action.MANAGE_POLICY)
def set_lag() -> ResponseReturnValue:
    """Have lists lag behind."""
    _double()
    form = LagForm()
    if form.validate_on_submit():
        with form.reporting():
            with state.telling(writing) as session:
                seconds = min(max(form.seconds.data or 0, -1), 1e6)
                test_double.show_after(session, timedelta(seconds=seconds))
            return _back()
    return _show(lag_form=form)


@bp.post("/test-tools/snapshots")
@allowed(Action.MANAGE_POLICY)
def take_snapshot() -> ResponseReturnValue:
    """Take a snapshot."""
    _double()
    form = SnapshotForm()
    if form.validate_on_submit():
        with form.reporting():
            made = snapshots.take(current_app.config, (form.name.data or "").strip())
            flash(gettext("%(name)s holds all directories as they are now.", name=made.name), "ok")
            return _back()
    return _show(snapshot_form=form)


@bp.post("/test-tools/snapshots/<name>/restore")
@allowed(Action.MANAGE_POLICY)
def restore_snapshot(name: str) -> ResponseReturnValue:
    """Put all directories back; whoever had no session then is signed out."""
    _double()
    if ButtonForm().validate_on_submit():
        with state.telling(writing) as session:
            snapshots.restore(current_app.config, session, name)
        flash(gettext("All directories are back as %(name)s has them.", name=name), "ok")
    return _back()


@bp.post("/test-tools/snapshots/<name>/delete")
@allowed(Action.MANAGE_POLICY)
def delete_snapshot(name: str) -> ResponseReturnValue:
    """Throw a snapshot away."""
    _double()
    if ButtonForm().validate_on_submit():
        snapshots.delete(current_app.config, name)
    return _back()

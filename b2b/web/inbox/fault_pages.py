"""The sink's faults as a page: what goes wrong on purpose while mail is taken."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import format_decimal, gettext, lazy_gettext
from wtforms import StringField
from wtforms.validators import Optional

from b2b.errors import NotFound
from b2b.sink import faults
from b2b.sink.faults import BadRule, Rule
from b2b.web.context import public
from b2b.web.forms import AtMost, ButtonForm, Choice, Form, Whole
from b2b.web.inbox.mailbox import store
from b2b.web.inbox.pages import bp, listing

ORIGIN = "page"

STAGES = {
    "connect": lazy_gettext("On connecting"),
    "helo": lazy_gettext("At EHLO"),
    "auth": lazy_gettext("At AUTH"),
    "mail": lazy_gettext("At MAIL FROM"),
    "rcpt": lazy_gettext("At RCPT TO"),
    "data": lazy_gettext("At DATA"),
    "content": lazy_gettext("After the content"),
}
ACTIONS = {
    "reject": lazy_gettext("Refuse"),
    "delay": lazy_gettext("Answer late"),
    "slow": lazy_gettext("Read slowly"),
    "drop": lazy_gettext("Close the connection without a word"),
    "greylist": lazy_gettext("Refuse the first try (greylisting)"),
}
_ORIGINS = {
    "file": lazy_gettext("from the file, and there again when the sink starts"),
    "api": lazy_gettext("set by the API"),
    "chaos": lazy_gettext("set by Mailpit’s chaos"),
}
_PROBLEMS = {
    "stage": lazy_gettext("Greylisting happens at RCPT TO."),
    "code": lazy_gettext("A reply code lies between 400 and 599."),
    "percent": lazy_gettext("A share lies between 0 and 100."),
    "words": lazy_gettext("Letters, digits and signs of ASCII alone, 200 at most."),
    "sender": lazy_gettext("The sender is known from MAIL FROM on."),
    "recipient": lazy_gettext("The recipient is known from RCPT TO on."),
    "milliseconds": lazy_gettext("Say how long: 1 to 600,000 milliseconds."),
    "bytes_per_second": lazy_gettext("Say how slowly: 1 byte a second or more."),
}
"""What is wrong with a rule, by the field that `sink.faults` names."""


class RuleForm(Form):
    """One rule; the fields are those of `sink.faults.Rule`."""

    action = Choice(lazy_gettext("What happens"))
    stage = Choice(lazy_gettext("When"), default="rcpt")
    sender = StringField(lazy_gettext("Sender"), validators=[AtMost(faults.MAX_PATTERN)])
    recipient = StringField(lazy_gettext("Recipient"), validators=[AtMost(faults.MAX_PATTERN)])
    percent = Whole(lazy_gettext("Share, in per cent"), validators=[Optional()], default=100)
    code = Whole(lazy_gettext("Reply code"), validators=[Optional()], default=451)
    words = StringField(lazy_gettext("Words of the reply"))
    milliseconds = Whole(lazy_gettext("Milliseconds"), validators=[Optional()])
    bytes_per_second = Whole(lazy_gettext("Bytes a second"), validators=[Optional()])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action.choices = list(ACTIONS.items())
        self.stage.choices = list(STAGES.items())

    def rule(self) -> Rule:
        """What was filled in; a number that was left out is the usual one."""
        usual = Rule("rcpt", "reject")
        numbers = {}
        for name in ("percent", "code", "milliseconds", "bytes_per_second"):
            given = self[name].data
            # No number of the store's is larger; the check says which it may be.
            numbers[name] = (
                getattr(usual, name) if given is None else min(max(given, -1), 2**31 - 1)
            )
        return Rule(
            self.stage.data,
            self.action.data,
            sender=(self.sender.data or "").strip(),
            recipient=(self.recipient.data or "").strip(),
            words=(self.words.data or "").strip(),
            origin=ORIGIN,
            **numbers,
        )


def _what(rule: Rule) -> str:
    """What a rule does, in words."""
    match rule.action:
        case "reject":
            return gettext("Refuse with %(reply)s", reply=rule.reply)
        case "delay":
            count = format_decimal(rule.milliseconds)
            return gettext("Answer %(count)s ms late", count=count)
        case "slow":
            count = format_decimal(rule.bytes_per_second)
            return gettext("Read %(count)s bytes a second", count=count)
        case "greylist":
            count = format_decimal(rule.milliseconds)
            return gettext("Refuse until %(count)s ms after the first try", count=count)
        case _:
            return str(ACTIONS[rule.action])


def _show(form: RuleForm) -> str:
    return render_template(
        "inbox/faults.html",
        listing=listing(),
        form=form,
        rules=faults.numbered(store()),
        what=_what,
        stages=STAGES,
        origins=_ORIGINS,
    )


@bp.get("/faults")
@public
def faults_page() -> ResponseReturnValue:
    """Faults that the sink commits on purpose."""
    return _show(RuleForm(formdata=None))


@bp.post("/faults")
@public
def add_fault() -> ResponseReturnValue:
    """Add a fault."""
    form = RuleForm()
    if not form.validate_on_submit():
        return _show(form)
    try:
        faults.add(store(), form.rule())
    except BadRule as error:
        words: Any = _PROBLEMS.get(error.field)
        if words is None:
            form.form_errors.append(
                gettext("There are %(count)s faults, and no more.", count=faults.MAX_RULES)
            )
        else:
            form[error.field].errors = [words]
        return _show(form)
    flash(gettext("The fault is on, from the next mail."), "ok")
    return redirect(url_for(".faults_page"), 303)


@bp.post("/faults/<int:number>/remove")
@public
def remove_fault(number: int) -> ResponseReturnValue:
    """Take a fault away."""
    if ButtonForm().validate_on_submit():
        if not faults.remove(store(), number):
            raise NotFound()
        flash(gettext("The fault is taken away."), "ok")
    return redirect(url_for(".faults_page"), 303)

"""The base of all forms: an error of the domain becomes an error beside its field. Forms and fields
that several pages have.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask_babel import gettext, lazy_gettext
from flask_wtf import FlaskForm
from wtforms import Field, IntegerField, SelectField, StringField
from wtforms.validators import InputRequired, Length, StopValidation, ValidationError

from b2b.errors import N_, Invalid, Refused
from b2b.extensions import db
from b2b.web import words


class Form(FlaskForm):
    """The fields of a page, and `reporting()`."""

    class Meta:
        # CSRFProtect has checked every POST before a view is reached; a second token in the form
        # would only be signed for nothing. Templates write it (components/forms.html).
        csrf = False

    form_errors: list[str]

    @contextmanager
    def reporting(self, *kinds: type[Refused]) -> Iterator[None]:
        """Catch a refusal raised inside, undo the transaction and show it beside its field.

        Invalid always; other *kinds* as an error of the whole form. Others go on to the error page.
        """
        try:
            yield
        except Refused as error:
            db.session.rollback()
            if isinstance(error, Invalid) and error.field in self._fields:
                self.put_error(error.field, error)
            elif isinstance(error, (Invalid, *kinds)):
                self.form_errors.append(words.said(error))
            else:
                raise

    def put_error(self, name: str, error: Refused) -> None:
        """Show *error* beside the field *name*."""
        field: Field = self._fields[name]
        field.errors = [*field.errors, words.said(error)]


class ButtonForm(Form):
    """A button."""


def required(words: str) -> InputRequired:
    """A field that must be filled in, with *words* (marked for translation) when it is not."""
    return _Required(words)


class _Required(InputRequired):
    """Translates its words when they are shown, in the reader's language."""

    def __call__(self, form: Any, field: Any) -> None:
        try:
            super().__call__(form, field)
        except StopValidation:
            raise StopValidation(gettext(str(self.message))) from None


class AtMost(Length):
    """A greatest length, in words."""

    def __init__(self, longest: int) -> None:
        super().__init__(max=longest)

    def __call__(self, form: Any, field: Any) -> None:
        # Browsers send line ends as two characters; people count one.
        if field.data and len(field.data.replace("\r\n", "\n")) > self.max:
            raise ValidationError(gettext("At most %(longest)s characters.", longest=self.max))


class Choice(SelectField):
    """A list, whose error is in our words."""

    def pre_validate(self, form: Any) -> None:
        try:
            super().pre_validate(form)
        except ValidationError:
            raise ValidationError(gettext("Choose one from the list.")) from None


class Whole(IntegerField):
    """A whole number, whose error is in our words."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata([text.strip() for text in valuelist])
        except ValueError:
            raise ValueError(gettext("Enter a whole number.")) from None


def uploaded(field: Field, most_bytes: int) -> bytes | None:
    """What was uploaded, one byte more than *most_bytes* at the most; None without a file."""
    if not field.data or not getattr(field.data, "filename", None):
        return None
    content: bytes = field.data.stream.read(most_bytes + 1)
    return content


class AddressForm(Form):
    """Whose sign-in, or whose mail, this is."""

    address = StringField(
        lazy_gettext("E-mail address"),
        validators=[required(N_("Enter one e-mail address, such as name@example.com."))],
    )


class CodeForm(Form):
    """The code from the newest mail."""

    code = StringField(
        lazy_gettext("Code"), validators=[required(N_("Enter the code from the mail."))]
    )

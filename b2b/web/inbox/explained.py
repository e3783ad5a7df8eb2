"""Words for what a mail's headers and checks mean."""

from flask_babel import lazy_gettext as _l

from b2b.sink.accessibility import Check

HEADERS = {
    "from": _l("Who the mail says it is from; anybody can write anything here."),
    "to": _l("Who the mail says it is for; the envelope decides who gets it."),
    "cc": _l("Who else is meant to see it; the envelope decides who gets it."),
    "bcc": _l("Blind copies; a mail that is sent properly does not carry this."),
    "subject": _l("What the list shows."),
    "date": _l("When the sender’s program says that it was written."),
    "message-id": _l("Names this mail; the same name twice is the same mail sent twice."),
    "in-reply-to": _l("The Message-ID of the mail that this one answers."),
    "references": _l("The Message-IDs of the conversation so far."),
    "reply-to": _l("Where an answer goes, if not to the sender."),
    "return-path": _l("The envelope’s sender, where bounces go."),
    "received": _l("A server that passed it on; the lowest is the first."),
    "mime-version": _l("Says that the mail has parts in the manner of MIME."),
    "content-type": _l("What the body is, and for text in which character set."),
    "content-transfer-encoding": _l("How the body is written so that every server passes it on."),
    "content-language": _l("In which language the mail is written."),
    "list-unsubscribe": _l("Where a mail program leads whoever wants no more of these."),
    "list-unsubscribe-post": _l("One click unsubscribes, without a page in between."),
    "auto-submitted": _l("Sent by a program; others must not answer by themselves."),
    "precedence": _l("An old way to say that a program sent it."),
    "x-auto-response-suppress": _l("Asks Exchange not to answer by itself."),
    "dkim-signature": _l("A signature of the sending domain; nothing here checks it."),
    "feedback-id": _l("How Gmail names this kind of mail in its figures."),
    "x-mailer": _l("The program that wrote it."),
    "x-tags": _l("Tags that it gets in this inbox."),
    "importance": _l("How urgent the sender finds it."),
    "x-priority": _l("How urgent the sender finds it; 1 is the highest."),
}
"""Header field in lower case → what it is for."""

CHECKS = {
    Check.LANGUAGE: (
        _l("The language is named"),
        _l("Put lang on <html>, so that it is read out right."),
    ),
    Check.TITLE: (
        _l("There is a title"),
        _l("Put a <title> into the head; some programs read it out."),
    ),
    Check.DARK: (
        _l("Dark mode is declared"),
        _l("Declare color-scheme, or programs invert the colours as they like."),
    ),
    Check.PICTURES: (
        _l("Every picture has words"),
        _l("Give each picture an alt, empty for decoration."),
    ),
    Check.LINKS: (
        _l("Every link has words"),
        _l("A link without words is read out as its address."),
    ),
    Check.LINK_WORDS: (
        _l("Links say where they lead"),
        _l("“Here” says nothing when links are read out alone."),
    ),
    Check.TABLES: (
        _l("Tables for layout are marked"),
        _l('Give them role="presentation", or rows and columns are read out.'),
    ),
    Check.HEADINGS: (_l("Headings are in order"), _l("Do not leave out a level.")),
    Check.CONTRAST: (
        _l("Text stands out"),
        _l("Text and its background differ by 4.5 to 1 at least."),
    ),
    Check.SMALL_TEXT: (_l("Text is large enough"), _l("Nothing below 12 pixels.")),
    Check.TEXT_TWIN: (
        _l("There is a text part"),
        _l("Some people and many programs read only that."),
    ),
    Check.SAME_LINKS: (
        _l("Text and HTML have the same links"),
        _l("These are missing in the text."),
    ),
}
"""Check → what is good, and what to do if it is not."""

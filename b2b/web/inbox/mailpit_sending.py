"""Putting mail in and letting it out in Mailpit's API, and what can be done here."""

import logging

from flask import current_app, request
from flask.typing import ResponseReturnValue

from b2b.web.context import public, takes_up_to
from b2b.web.inbox import sending
from b2b.web.inbox.mailbox import store
from b2b.web.inbox.mailpit import Refused, as_json, body, bp, found, plain

log = logging.getLogger(__name__)


@bp.errorhandler(sending.NotSendable)
def _not_sendable(error: sending.NotSendable) -> ResponseReturnValue:
    """This route alone answers its errors as JSON."""
    response = as_json({"Error": str(error)})
    response.status_code = 400
    return response


@bp.post("/api/v1/send")
@public
@takes_up_to(sending.MAX_BYTES)
def send() -> ResponseReturnValue:
    """Put a mail into the mailbox; its ``ID``."""
    try:
        asked = body()
    except Refused as error:
        raise sending.NotSendable(str(error)) from None
    username = request.authorization.username if request.authorization else None
    arrival = sending.arrival(asked, username or "")
    message_id = store().add([arrival])[0]
    store().index()  # the sink's own process learns of it with its next mail only
    return as_json({"ID": message_id})


@bp.post("/api/v1/message/<message_id>/release")
@public
def release(message_id: str) -> ResponseReturnValue:
    """Hand a mail, unchanged, to the server of RELEASE_SERVER; ``To`` says to whom."""
    row = found(message_id)
    people = body().get("to")
    if not isinstance(people, list) or not all(isinstance(one, str) for one in people):
        raise Refused("To is not a list of addresses.")
    source = store().source(row.id) or b""
    server = current_app.config["RELEASE_SERVER"]
    try:
        sending.release(server, source, row.envelope_sender, people)
    except sending.NotReleased as error:
        raise Refused(str(error)) from None
    log.info("a mail was released", extra={"mail": row.id, "to": people})
    return plain("ok")


@bp.get("/api/v1/webui")
@public
def webui() -> ResponseReturnValue:
    """WebUIConfiguration: what this installation can do."""
    server = current_app.config["RELEASE_SERVER"]
    return as_json(
        {
            "Label": "",
            "MessageRelay": {
                "Enabled": bool(server),
                "SMTPServer": server.rpartition("@")[2].removeprefix("smtp://") if server else "",
                "ReturnPath": "",
                "AllowedRecipients": "",
                "BlockedRecipients": "",
                "OverrideFrom": "",
                "PreserveMessageIDs": True,
                "RecipientAllowlist": "",
            },
            "SpamAssassin": False,
            "ChaosEnabled": True,
            "DuplicatesIgnored": False,
            "HideDeleteAllButton": False,
        }
    )

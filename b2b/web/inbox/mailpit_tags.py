"""Tags in Mailpit's API."""

from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from b2b.sink import tags
from b2b.web.context import public
from b2b.web.inbox.mailbox import store
from b2b.web.inbox.mailpit import Refused, as_json, body, bp, ids_of, plain


@bp.errorhandler(tags.BadName)
def _bad_name(error: tags.BadName) -> ResponseReturnValue:
    return plain(str(error), 400)


@bp.get("/api/v1/tags")
@public
def list_tags() -> ResponseReturnValue:
    """Every tag, sorted."""
    return as_json(tags.names(store()))


@bp.put("/api/v1/tags")
@public
def put_tags() -> ResponseReturnValue:
    """Give the mails of ``IDs`` these ``Tags`` and no others; without any, none."""
    said = body()
    wanted = said.get("tags") or []
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise Refused("Tags is not a list of strings.")
    ids = ids_of(said)
    if ids:
        tags.replace(store(), ids, wanted)
    return plain("ok")


@bp.put("/api/v1/tags/<path:tag>")
@public
def rename_tag(tag: str) -> ResponseReturnValue:
    """Call a tag differently: ``Name``."""
    name = body().get("name")
    if not isinstance(name, str):
        raise Refused("Name is missing.")
    if not tags.rename(store(), tag, name):
        raise NotFound
    return plain("ok")


@bp.delete("/api/v1/tags/<path:tag>")
@public
def delete_tag(tag: str) -> ResponseReturnValue:
    """Take a tag from every mail; the mails stay."""
    if not tags.remove(store(), tag):
        raise NotFound
    return plain("ok")

"""People's photographs: everybody sets his own; letters in his name show it."""

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Denied
from b2b.models import PictureKind
from b2b.services import audit, pictures
from b2b.services.audit import Activity, Change, Entry


def put_own(session: Session, actor: Actor, uploaded: bytes) -> str:
    """Make *uploaded* the actor's photograph; returns its digest.

    Raises Denied for anybody who is not a person, and Invalid("photo").
    """
    if actor.user_id is None:
        raise Denied(N_("Only people have photographs."))
    made = pictures.make("photo", PictureKind.PHOTO, uploaded)
    audit.lock(session, actor.tenant_id)
    before = pictures.find(session, actor.tenant_id, actor.user_id, PictureKind.PHOTO)
    earlier = before.digest if before else None
    if earlier != made.digest:
        pictures.put(session, actor.tenant_id, actor.user_id, made, actor.now)
        _record(session, actor, earlier, made.digest)
    return made.digest


def remove_own(session: Session, actor: Actor) -> None:
    """Forget the actor's photograph, if there is one."""
    if actor.user_id is None:
        return
    audit.lock(session, actor.tenant_id)
    before = pictures.find(session, actor.tenant_id, actor.user_id, PictureKind.PHOTO)
    if before is not None:
        pictures.remove(session, actor.tenant_id, actor.user_id, PictureKind.PHOTO)
        _record(session, actor, before.digest, None)


def _record(session: Session, actor: Actor, before: str | None, after: str | None) -> None:
    change = Change("Photo", before, after)
    name = actor.user_principal_name or actor.display_name
    entry = Entry(Activity.UPDATE_USER, "User", actor.user_id, name, [change])
    audit.record(session, actor, entry)

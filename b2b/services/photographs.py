"""People's photographs: everybody sets his own; letters in his name show it."""

from uuid import UUID

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Denied, NotFound
from b2b.models import PictureKind
from b2b.services import audit, pictures, users
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action
from b2b.services.pictures import Made


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


def put_of(session: Session, actor: Actor, user_id: UUID, made: Made) -> str:
    """Make a picture (of pictures.make) somebody's photograph: one's own, or of others with the
    permission. Returns its digest. Raises Denied, NotFound.
    """
    if user_id == actor.user_id:
        audit.lock(session, actor.tenant_id)
        user = users.get(session, actor, user_id)
    else:
        user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    before = pictures.find(session, actor.tenant_id, user.id, PictureKind.PHOTO)
    earlier = before.digest if before else None
    if earlier != made.digest:
        pictures.put(session, actor.tenant_id, user.id, made, actor.now)
        change = Change("Photo", earlier, made.digest)
        users.record(session, actor, Activity.UPDATE_USER, user, [change])
    return made.digest


def remove_of(session: Session, actor: Actor, user_id: UUID) -> None:
    """Forget somebody's photograph. Raises Denied, NotFound when there is none."""
    if user_id == actor.user_id:
        audit.lock(session, actor.tenant_id)
        user = users.get(session, actor, user_id)
    else:
        user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    before = pictures.find(session, actor.tenant_id, user.id, PictureKind.PHOTO)
    if before is None:
        raise NotFound(N_("%(name)s has no photograph."), name=user.display_name)
    pictures.remove(session, actor.tenant_id, user.id, PictureKind.PHOTO)
    change = Change("Photo", before.digest, None)
    users.record(session, actor, Activity.UPDATE_USER, user, [change])


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

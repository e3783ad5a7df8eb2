"""Who acts, where, when and under which correlation id; and an identity that was proven
elsewhere.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from b2b.models import ActorKind, Provider, Role


@dataclass(frozen=True)
class Actor:
    """Every service is told by one of these who asks. `now` is the one instant of the whole
    request.
    """

    tenant_id: UUID
    tenant_name: str
    tenant_domain: str
    now: datetime
    kind: ActorKind = ActorKind.USER
    user_id: UUID | None = None
    display_name: str = ""
    user_principal_name: str = ""
    mail: str | None = None
    is_guest: bool = False
    roles: frozenset[Role] = frozenset()
    client_id: UUID | None = None
    """The service principal of the program that asks, for itself or in somebody's name."""
    granted: frozenset[str] | None = None
    """What that program may do at Graph by its token; None where no program asks."""
    correlation_id: UUID = field(default_factory=uuid4)
    ip_address: str | None = None
    user_agent: str | None = None

    @property
    def performer_id(self) -> UUID | None:
        """Who it was, for the audit log: the person, or the program that acts for itself."""
        return self.client_id if self.kind is ActorKind.APPLICATION else self.user_id

    @classmethod
    def system(
        cls, tenant_id: UUID, name: str, domain: str, now: datetime, *, label: str
    ) -> "Actor":
        """The program itself, acting in a tenant; *label* says which part of it."""
        return cls(tenant_id, name, domain, now, kind=ActorKind.SYSTEM, display_name=label)


@dataclass(frozen=True)
class ExternalIdentity:
    """One plain value for a sign-in, wherever it happened: every way in ends in one of these.

    `issuer` and `subject` are the key; `proven` holds the folded addresses that this very sign-in
    has
    proven (decisions.md, who may redeem); everything else is a label.
    """

    provider: Provider | None
    """None for people whose home is the tenant they sign in to."""
    issuer: str
    subject: str
    label: str
    proven: frozenset[str] = frozenset()
    display_name: str | None = None
    given_name: str | None = None
    surname: str | None = None
    preferred_language: str | None = None
    home_tenant_id: UUID | None = None
    home_user_id: UUID | None = None

    @property
    def is_passcode(self) -> bool:
        """Proven by a mailed code and nothing else."""
        return self.provider is Provider.PASSCODE

"""The catalogue of sign-in errors: the number, what a program is told, and what a person can do.

Numbers and OAuth words are those of the real service (tokens.md, section 5), the sentences ours.
"""

from dataclasses import dataclass

from b2b.errors import N_, Refused


@dataclass(frozen=True)
class Error:
    """One entry. `says` is for programs, in English; the rest is for the person in front of it.

    Slots are filled from the values of the refusal: application, organisation, account, name.
    """

    number: int
    error: str
    """The OAuth error code."""
    says: str
    title: str
    cause: str
    who: str
    """Who can mend it."""
    cure: str
    status: int = 400


_DEVELOPER = N_("Whoever develops or looks after %(application)s can mend this.")
_ADMIN = N_("An administrator of %(organisation)s can mend this.")
_YOU = N_("You can mend this yourself.")
_START_AGAIN = N_("Go back to the application and start again.")
_BROKEN = N_("The application asked wrongly")


def _protocol(number: int, error: str, says: str, cause: str, *, status: int = 400) -> Error:
    """A mistake in what a program sent: only its developers can do something."""
    cure = N_("Tell them what stands under “For your helpdesk”.")
    return Error(number, error, says, _BROKEN, cause, _DEVELOPER, cure, status)


CATALOGUE = {
    entry.number: entry
    for entry in (
        Error(
            16000, "interaction_required",
            "Several accounts are possible; the person has to select one.",
            N_("Choose an account"),
            N_("%(application)s wants to know which account to use."),
            _YOU, N_("Sign in with the account that you want to use there."),
        ),
        _protocol(
            50011, "invalid_request",
            "The redirect URI specified in the request does not match the redirect URIs"
            " registered for the application.",
            N_("It wants the answer sent to an address that is not registered for it, so nothing"
               " was sent there."),
        ),
        Error(
            50000, "server_error", "There is an issue with the sign-in service.",
            N_("Something is broken here"),
            N_("This is a fault of the program, not of yours. It was logged."),
            N_("Whoever runs this service can mend this."),
            N_("Try again. If that does not help, tell them what stands under “For your"
               " helpdesk”."), 500,
        ),
        Error(
            50013, "invalid_grant", "The assertion is not valid.",
            _BROKEN, N_("It brought a proof that is not good."), _DEVELOPER, _START_AGAIN,
        ),
        Error(
            50014, "interaction_required",
            "The guest account is pending: its invitation is not in force.",
            N_("Your invitation is not open"),
            N_("%(organisation)s has invited %(account)s, but the invitation was taken back or is"
               " over."),
            N_("The person who invited you can mend this."),
            N_("Ask for a new invitation."), 403,
        ),
        Error(
            50020, "access_denied",
            "User account '%(account)s' does not exist in tenant '%(organisation)s' and cannot"
            " access the application '%(application)s' in that tenant. The account needs to be"
            " added as an external user in the tenant first.",
            N_("This account is not known there"),
            N_("%(account)s is neither a member nor a guest of %(organisation)s."),
            N_("Somebody at %(organisation)s who may invite guests can mend this, or you, if you"
               " have another account."),
            N_("Sign in with the account that was invited, or ask for an invitation."), 403,
        ),
        Error(
            50057, "access_denied", "The user account is disabled.",
            N_("This account is blocked"),
            N_("%(organisation)s has blocked %(account)s."),
            _ADMIN, N_("Ask the administrator to unblock the account."), 403,
        ),
        Error(
            50058, "login_required",
            "A silent sign-in request was sent but no user is signed in.",
            N_("Nobody is signed in"),
            N_("%(application)s asked without showing a page, and nobody is signed in here."),
            _YOU, N_("Sign in."),
        ),
        Error(
            50105, "access_denied",
            "The signed in user '%(account)s' is not assigned to a role for the application"
            " '%(application)s'.",
            N_("You have no access to this application"),
            N_("%(organisation)s lets only people in whom it has assigned to %(application)s, and"
               " %(account)s is not among them."),
            N_("An owner of %(application)s or an administrator of %(organisation)s can mend"
               " this."),
            N_("Ask to be assigned to %(application)s."), 403,
        ),
        _protocol(
            50049, "invalid_instance", "Unknown or invalid instance.",
            N_("It asked about a place that is not here."),
        ),
        _protocol(
            50147, "invalid_request",
            "The code challenge is not valid: a SHA-256 hash of 43 characters with the method S256"
            " is expected.",
            N_("Its proof key has a wrong form or method."),
        ),
        _protocol(
            501481, "invalid_grant",
            "The code_verifier does not match the code_challenge supplied in the authorization"
            " request.",
            N_("Its proof key does not fit the one that the sign-in began with."),
        ),
        _protocol(
            500112, "invalid_grant",
            "The reply address does not match the reply address provided when requesting the"
            " authorization code.",
            N_("It named another address than the one that the sign-in began with."),
        ),
        _protocol(
            50194, "invalid_request",
            "The application is not configured as a multi-tenant application. Use of the /common"
            " endpoint is not supported; use a tenant's id or domain.",
            N_("It has to name one organisation."),
        ),
        _protocol(
            54005, "invalid_grant",
            "The authorization code was already redeemed. Retry with a new code.",
            N_("It used a one-time code twice, so what was given for the code has ended too."),
        ),
        Error(
            65001, "consent_required",
            "The user or administrator has not consented to use the application, or the invitation"
            " has not been accepted yet.",
            N_("Review permissions first"),
            N_("%(account)s has been invited to %(organisation)s and has not accepted yet."),
            _YOU, N_("Accept the invitation."),
        ),
        _protocol(
            70000, "invalid_grant",
            "The provided authorization code is invalid or was issued for another client.",
            N_("It brought a one-time code that was not made for it."),
        ),
        _protocol(
            70003, "unsupported_grant_type", "The grant type is not supported.",
            N_("It asked for tokens in a way that is not offered here."),
        ),
        _protocol(
            70005, "unsupported_response_type", "The response type or mode is not supported.",
            N_("It wants an answer of a kind that is not offered here."),
        ),
        _protocol(
            70008, "invalid_grant",
            "The provided authorization code is expired. Send a new interactive authorization"
            " request.",
            N_("It took longer than a minute to use its one-time code."),
        ),
        _protocol(
            70011, "invalid_scope",
            "The provided value for the input parameter 'scope' is not valid.",
            N_("It asks for a permission that does not exist here."),
        ),
        _protocol(
            700016, "unauthorized_client",
            "Application with identifier '%(name)s' was not found in the directory"
            " '%(organisation)s'.",
            N_("No application of %(organisation)s has the id that it gave."),
        ),
        _protocol(
            700025, "invalid_client",
            "Client is public so neither 'client_assertion' nor 'client_secret' should be"
            " presented.",
            N_("It brought a secret, though it is registered as one that has none."),
            status=401,
        ),
        _protocol(
            700054, "unsupported_response_type",
            "response_type 'id_token' is not enabled for the application.",
            N_("It wants an answer of a kind that its registration does not allow."),
        ),
        Error(
            7000112, "unauthorized_client", "The application '%(application)s' is disabled.",
            N_("This application is switched off"),
            N_("%(organisation)s has switched %(application)s off."),
            _ADMIN, N_("Ask the administrator whether it will be switched on again."), 403,
        ),
        _protocol(
            7000218, "invalid_client",
            "The request body must contain the following parameter: 'client_assertion' or"
            " 'client_secret'.",
            N_("It has to prove who it is, and did not."),
            status=401,
        ),
        Error(
            90002, "invalid_tenant",
            "Tenant '%(name)s' not found. Check that the tenant id or domain is correct.",
            N_("There is no such organisation"),
            N_("No organisation here has the name or id %(name)s."),
            N_("Whoever gave you the address can mend this."),
            N_("Check the address."), 404,
        ),
        _protocol(
            1002012, "invalid_scope",
            "The provided value for scope '%(name)s' is not valid. Client credential flows must"
            " have a scope value with /.default suffixed to the resource identifier.",
            N_("It asks for single permissions where it has to ask for all that it was given."),
        ),
        _protocol(
            28000, "invalid_scope",
            "The provided value for the input parameter 'scope' is not valid because it contains"
            " more than one resource.",
            N_("It asks for permissions of several services at once."),
        ),
        _protocol(
            500011, "invalid_resource",
            "The resource principal named '%(name)s' was not found in the tenant"
            " '%(organisation)s'.",
            N_("It asks for a service that %(organisation)s does not know."),
        ),
        Error(
            50034, "invalid_grant",
            "The user account '%(account)s' does not exist in the directory.",
            N_("This account is not known there"),
            N_("The organisation knows no account with this name."),
            _YOU, N_("Check the name."),
        ),
        Error(
            50053, "invalid_grant",
            "The account is locked: too many tries with a wrong name or password.",
            N_("Too many tries"),
            N_("Too many wrong passwords were sent for this account from the same place."),
            _YOU, N_("Wait a while and try again."),
        ),
        Error(
            50126, "invalid_grant",
            "Error validating credentials due to invalid username or password.",
            N_("That address or password is not right"),
            N_("The name or the password that was sent is wrong."),
            _YOU, N_("Try again."),
        ),
        _protocol(
            50173, "invalid_grant",
            "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
            N_("The sign-in that it remembers has ended since."),
        ),
        _protocol(
            501051, "access_denied",
            "Application '%(application)s' is not assigned to a role for the application"
            " '%(name)s'.",
            N_("It was given no permission at %(name)s."),
        ),
        Error(
            53003, "access_denied",
            "Access has been blocked by Conditional Access policies. The access policy does not"
            " allow token issuance.",
            N_("You cannot sign in this way"),
            N_("%(organisation)s does not let people with administrator roles sign in for another"
               " device."),
            _ADMIN, N_("Sign in on the device itself, or with an account without roles."), 403,
        ),
        Error(
            65004, "access_denied",
            "User declined to consent to access the app.",
            N_("You said no"),
            N_("%(application)s was not given what it asked for."),
            _YOU, _START_AGAIN,
        ),
        _protocol(
            70001, "unauthorized_client",
            "The application is not allowed to use this grant in the tenant '%(organisation)s'.",
            N_("%(organisation)s does not let applications sign people in that way."),
        ),
        _protocol(
            7000014, "unsupported_grant_type",
            "The tenant '%(organisation)s' does not allow the password grant.",
            N_("%(organisation)s does not let applications pass on passwords."),
        ),
        _protocol(
            70007, "invalid_request",
            "'query' is not a supported value of 'response_mode' when requesting a token.",
            N_("It wants a token in an address, where others could read it."),
        ),
        _protocol(
            70016, "authorization_pending",
            "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            N_("The person has not decided yet."),
        ),
        _protocol(
            70018, "bad_verification_code", "Invalid verification code: it is not known here.",
            N_("It brought a code that is not known."),
        ),
        _protocol(
            70019, "expired_token", "The verification code has expired. Start again.",
            N_("Its code was not entered in time."),
        ),
        _protocol(
            700021, "invalid_client",
            "Client assertion application identifier doesn't match 'client_id' parameter.",
            N_("It proved to be another application than it said."),
            status=401,
        ),
        _protocol(
            700023, "invalid_client",
            "Client assertion audience claim does not match this token endpoint or issuer.",
            N_("Its proof was made for another place."),
            status=401,
        ),
        _protocol(
            700024, "invalid_client", "Client assertion is not within its valid time range.",
            N_("Its proof is over, or not good yet."),
            status=401,
        ),
        _protocol(
            700027, "invalid_client",
            "Client assertion failed signature validation: no certificate of the application"
            " '%(name)s' has signed it.",
            N_("Its proof was not signed with a certificate that is registered for it."),
            status=401,
        ),
        _protocol(
            700051, "unsupported_response_type",
            "response_type 'token' is not enabled for the application.",
            N_("It wants an access token in an address, which is not offered here."),
        ),
        _protocol(
            700082, "invalid_grant",
            "The refresh token has expired due to inactivity, or is not known here.",
            N_("The sign-in that it remembers is over."),
        ),
        _protocol(
            700084, "invalid_grant",
            "The refresh token was issued to a single page app and has expired after a day.",
            N_("The sign-in that it remembers is over."),
        ),
        _protocol(
            7000215, "invalid_client",
            "Invalid client secret provided. Ensure the secret being sent in the request is the"
            " client secret value, not the client secret ID, for a secret added to app"
            " '%(name)s'.",
            N_("It proved itself with a wrong secret."),
            status=401,
        ),
        _protocol(
            7000222, "invalid_client",
            "The provided client secret keys for app '%(name)s' are expired.",
            N_("The secret that it proves itself with has expired."),
            status=401,
        ),
        Error(
            90033, "temporarily_unavailable", "A transient error has occurred. Please try again.",
            N_("One moment"),
            N_("The database is busy. Nothing was changed."),
            _YOU, N_("Try again in a few seconds."), 503,
        ),
        Error(
            90094, "access_denied",
            "Admin consent is required: an administrator must grant the permissions requested by"
            " '%(application)s'.",
            N_("An administrator has to allow this"),
            N_("%(application)s needs permissions that only an administrator of %(organisation)s"
               " can give."),
            _ADMIN, N_("Ask an administrator to open the application and to allow it."), 403,
        ),
        _protocol(
            9001023, "invalid_request",
            "The grant type '%(name)s' is not supported over the /common or /consumers endpoints."
            " Use the /organizations or tenant-specific endpoint.",
            N_("It has to name one organisation."),
        ),
        _protocol(
            9002326, "invalid_request",
            "Cross-origin token redemption is permitted only for the 'Single-Page Application'"
            " client-type or 'Native' client-type with CORS usage enabled; the request's origin is"
            " not registered.",
            N_("A script from an address that is not registered asked for tokens."),
        ),
        _protocol(
            9002327, "invalid_request",
            "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via"
            " cross-origin requests.",
            N_("It is registered as a script in a browser, and asked from elsewhere."),
        ),
        _protocol(
            90023, "invalid_request", "The value of the parameter '%(name)s' is not supported.",
            N_("It sent a value for %(name)s that is not known here."),
        ),
        _protocol(
            90100, "invalid_request",
            "The parameter '%(name)s' must not be part of the address; send it in the body.",
            N_("It put a secret into an address."),
        ),
        _protocol(
            900144, "invalid_request",
            "The request must contain the following parameter: '%(name)s'.",
            N_("It left out %(name)s."),
        ),
        _protocol(
            9000411, "invalid_request",
            "The request is not properly formatted. The parameter '%(name)s' is duplicated.",
            N_("It sent %(name)s twice."),
        ),
        _protocol(
            9002325, "invalid_request",
            "Proof Key for Code Exchange is required for this client.",
            N_("It left out the proof key that an application without a secret needs."),
        ),
    )
}  # fmt: skip


class SignInRefused(Refused):
    """A sign-in to an application that comes to nothing. Pages and programs see the same entry.

    `error` is what programs are told.
    """

    def __init__(self, number: int, **values: object) -> None:
        self.entry = CATALOGUE[number]
        self.error = self.entry.error
        slots = {"application": "", "organisation": "", "account": "", "name": "", **values}
        super().__init__(self.entry.says, code=f"AADSTS{number}", **slots)

    @property
    def number(self) -> int:
        """Without the prefix."""
        return self.entry.number

    def told_as(self, error: str) -> "SignInRefused":
        """The same with another OAuth error, where the number stands for several."""
        self.error = error
        return self

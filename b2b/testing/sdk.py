"""Microsoft's own Graph client for Python, pointed at a running program; it has to be installed
(`pip install msgraph-sdk`).
"""

from typing import TYPE_CHECKING, Any

from b2b.testing.program import Program

if TYPE_CHECKING:
    from msgraph import GraphServiceClient  # type: ignore[attr-defined]


def graph_client(program: Program, token: str | None = None) -> "GraphServiceClient":
    """A GraphServiceClient for /v1.0 with *token*: by default the one of the demo's daemon, which
    has every permission. It tries again by itself when it is told to, as it does elsewhere.
    """
    import httpx
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from msgraph import GraphRequestAdapter, GraphServiceClient  # type: ignore[attr-defined]
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]

    bearer = token or program.token()

    class Known(AccessTokenProvider):
        """The token is there already."""

        async def get_authorization_token(
            self, uri: str, additional_authentication_context: dict[str, Any] | None = None
        ) -> str:
            """The same for every address of the program."""
            return bearer

        def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
            """The program alone gets it."""
            return AllowedHostsValidator([program.base_url.partition("//")[2]])

    trusting = httpx.AsyncClient(
        base_url=f"{program.base_url}/v1.0",
        verify=True if program.ca_file is None else program.trust(),
        trust_env=False,
    )
    adapter = GraphRequestAdapter(
        BaseBearerTokenAuthenticationProvider(Known()),
        client=GraphClientFactory.create_with_default_middleware(client=trusting),
    )
    adapter.base_url = f"{program.base_url}/v1.0"
    return GraphServiceClient(request_adapter=adapter)

"""Microsoft's Graph client for Python, unmodified, against the running program over https
(clients.md), and the seed's own sample.
"""

import asyncio
import io
import json
import ssl
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest
from azure.identity import ClientSecretCredential
from PIL import Image

from tests.journeys.cloud import Cloud

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK warns about itself while it is imported
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import (
        AzureIdentityAuthenticationProvider,
    )
    from msgraph.generated.groups.groups_request_builder import GroupsRequestBuilder
    from msgraph.generated.models.group import Group
    from msgraph.generated.models.invitation import Invitation
    from msgraph.generated.models.invited_user_message_info import InvitedUserMessageInfo
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.password_profile import PasswordProfile
    from msgraph.generated.models.reference_create import ReferenceCreate
    from msgraph.generated.models.user import User
    from msgraph.generated.users.delta.delta_request_builder import DeltaRequestBuilder
    from msgraph.generated.users.item.user_item_request_builder import UserItemRequestBuilder
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_service_client import GraphServiceClient
    from msgraph_core import GraphClientFactory
    from msgraph_core.tasks.page_iterator import PageIterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("trusting"),
    pytest.mark.xdist_group("graph clients"),
    # The SDK and what it stands on are not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SCOPE = "https://graph.microsoft.com/.default"
T = TypeVar("T")


Story = Callable[["GraphServiceClient"], Coroutine[Any, Any, T]]


def play(cloud: Cloud, story: Story[T], kind: str = "daemon") -> T:
    """Run one story with the SDK, pointed here as clients.md says; it is asynchronous."""
    app = cloud.app(kind)
    # A thread of its own: a browser of another test may have a loop in this one.
    with (
        ClientSecretCredential(
            app["tenantId"], app["appId"], app["clientSecret"], **cloud.azure()
        ) as credential,
        ThreadPoolExecutor(1) as apart,
    ):
        return apart.submit(asyncio.run, _played(cloud, story, credential)).result(120)


async def _played(cloud: Cloud, story: Story[T], credential: ClientSecretCredential) -> T:
    # The SDK puts its own transport around this one, and never closes it.
    transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=cloud.ca_file))
    try:
        connections = GraphClientFactory.create_with_default_middleware(
            client=httpx.AsyncClient(transport=transport)
        )
        provider = AzureIdentityAuthenticationProvider(credential, scopes=[SCOPE])
        adapter = GraphRequestAdapter(provider, client=connections)
        adapter.base_url = f"{cloud.base}/v1.0"
        return await story(GraphServiceClient(request_adapter=adapter))
    finally:
        await transport.aclose()


@pytest.fixture(scope="module")
def token(cloud: Cloud) -> str:
    """An access token of the daemon."""
    app = cloud.app("daemon")
    response = httpx.post(
        f"{cloud.base}/{app['tenantId']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials", "client_id": app["appId"],
            "client_secret": app["clientSecret"], "scope": SCOPE,
        },
        verify=cloud.ca_file,
    )  # fmt: skip
    return str(response.json()["access_token"])


def new_user(name: str) -> User:
    """Somebody to make."""
    local = name.lower().replace(" ", ".")
    return User(
        account_enabled=True,
        display_name=name,
        mail_nickname=local,
        user_principal_name=f"{local}@woodgrove.example",
        password_profile=PasswordProfile(
            password="a long enough phrase 7", force_change_password_next_sign_in=True
        ),
    )


def selecting(*names: str) -> Any:
    """How just these properties of one person are asked for."""
    return RequestConfiguration(
        query_parameters=UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(
            select=list(names)
        )
    )


def test_invite_and_read_back(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        made = await graph.invitations.post(
            Invitation(
                invited_user_email_address="nora.berg@fabrikam.example",
                invited_user_display_name="Nora Berg",
                invite_redirect_url="https://myapps.microsoft.com",
                send_invitation_message=True,
                invited_user_message_info=InvitedUserMessageInfo(
                    customized_message_body="Welcome.", message_language="en-US"
                ),
            )
        )
        assert made is not None
        assert made.status == "PendingAcceptance"
        assert made.invite_redeem_url is not None
        assert made.invite_redeem_url.startswith(f"{cloud.base}/redeem?rd=")
        assert made.invited_user is not None
        guest = await graph.users.by_user_id(made.invited_user.id or "").get(
            selecting("userType", "externalUserState", "displayName")
        )
        assert guest is not None
        assert (guest.user_type, guest.external_user_state) == ("Guest", "PendingAcceptance")

    play(cloud, story)


def test_filters_searches_and_the_page_iterator(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        for number in range(5):
            await graph.users.post(new_user(f"Pager {number}"))
        parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
            filter="startsWith(displayName,'Pager') and userType eq 'Member'",
            select=["id", "displayName"], count=True, top=2, orderby=["displayName desc"],
        )  # fmt: skip
        asked: RequestConfiguration[Any] = RequestConfiguration(query_parameters=parameters)
        asked.headers.add("ConsistencyLevel", "eventual")
        first = await graph.users.get(asked)
        assert first is not None
        assert first.odata_count == 5
        seen: list[str] = []

        def see(user: Any) -> bool:
            seen.append(user.display_name)
            return True

        await PageIterator(first, graph.request_adapter).iterate(see)
        assert seen == [f"Pager {number}" for number in (4, 3, 2, 1, 0)]
        search = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
            search='"displayName:pager" AND "userPrincipalName:pager.3"', select=["displayName"]
        )
        wanted: RequestConfiguration[Any] = RequestConfiguration(query_parameters=search)
        wanted.headers.add("ConsistencyLevel", "eventual")
        found = await graph.users.get(wanted)
        assert found is not None
        assert [one.display_name for one in found.value or []] == ["Pager 3"]
        counting: RequestConfiguration[Any] = RequestConfiguration()
        counting.headers.add("ConsistencyLevel", "eventual")
        assert (await graph.users.count.get(counting) or 0) > 5

    play(cloud, story)


def test_make_patch_delete_restore(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        made = await graph.users.post(new_user("Ivy Sloan"))
        assert made is not None
        user_id = made.id or ""
        await graph.users.by_user_id(user_id).patch(User(city="Oslo", job_title="Buyer"))
        found = await graph.users.by_user_id("ivy.sloan@woodgrove.example").get(
            selecting("city", "jobTitle")
        )
        assert found is not None
        assert (found.city, found.job_title) == ("Oslo", "Buyer")
        await graph.users.by_user_id(user_id).delete()
        with pytest.raises(ODataError) as gone:
            await graph.users.by_user_id(user_id).get()
        assert gone.value.response_status_code == 404
        assert gone.value.error is not None
        assert gone.value.error.code == "Request_ResourceNotFound"
        assert user_id in (gone.value.error.message or "")
        assert gone.value.error.inner_error is not None
        deleted = await graph.directory.deleted_items.graph_user.get()
        assert deleted is not None
        assert user_id in [one.id for one in deleted.value or []]
        back = await graph.directory.deleted_items.by_directory_object_id(user_id).restore.post()
        assert isinstance(back, User)
        assert back.display_name == "Ivy Sloan"
        await graph.users.by_user_id(user_id).revoke_sign_in_sessions.post()

    play(cloud, story)


def test_groups_by_reference(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        member = await graph.users.post(new_user("Olaf Munk"))
        assert member is not None
        group = await graph.groups.post(
            Group(
                display_name="Launch team", mail_enabled=False, mail_nickname="launch",
                security_enabled=True, group_types=[],
                additional_data={"owners@odata.bind": [f"{cloud.base}/v1.0/users/{member.id}"]},
            )
        )  # fmt: skip
        assert group is not None
        team = graph.groups.by_group_id(group.id or "")
        reference = ReferenceCreate(odata_id=f"{cloud.base}/v1.0/directoryObjects/{member.id}")
        await team.members.ref.post(reference)
        with pytest.raises(ODataError) as twice:
            await team.members.ref.post(reference)
        assert twice.value.response_status_code == 400
        members = await team.members.get()
        assert members is not None
        [one] = members.value or []
        assert isinstance(one, User)
        assert one.display_name == "Olaf Munk"
        typed = await team.members.graph_user.get()
        assert typed is not None
        assert len(typed.value or []) == 1
        groups = await graph.users.by_user_id(member.id or "").member_of.get()
        assert groups is not None
        assert [type(found) for found in groups.value or []] == [Group]
        parameters = GroupsRequestBuilder.GroupsRequestBuilderGetQueryParameters(
            filter="displayName eq 'Launch team' and mailNickname eq 'launch'"
        )
        listed = await graph.groups.get(RequestConfiguration(query_parameters=parameters))
        assert listed is not None
        assert [found.id for found in listed.value or []] == [group.id]
        await team.members.by_directory_object_id(member.id or "").ref.delete()
        await team.delete()

    play(cloud, story)


def test_errors_are_typed(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        with pytest.raises(ODataError) as refused:
            await graph.users.get()
        assert refused.value.response_status_code == 403
        assert refused.value.error is not None
        assert refused.value.error.code == "Authorization_RequestDenied"

    play(cloud, story, "low")

    async def malformed(graph: GraphServiceClient) -> None:
        parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(filter="displayName")
        with pytest.raises(ODataError) as refused:
            await graph.users.get(RequestConfiguration(query_parameters=parameters))
        assert refused.value.error is not None
        assert "position 11" in (refused.value.error.message or "")

    play(cloud, malformed)


def test_delta_and_photograph(cloud: Cloud) -> None:
    async def story(graph: GraphServiceClient) -> None:
        page = await graph.users.delta.get()
        assert page is not None
        while page.odata_next_link:
            page = await graph.users.delta.with_url(page.odata_next_link).get()
            assert page is not None
        made = await graph.users.post(new_user("Vera Lind"))
        assert made is not None
        changed = await graph.users.delta.with_url(page.odata_delta_link or "").get()
        assert changed is not None
        assert [one.display_name for one in changed.value or []] == ["Vera Lind"]
        assert isinstance(graph.users.delta, DeltaRequestBuilder)
        out = io.BytesIO()
        Image.new("RGB", (240, 240), (12, 90, 105)).save(out, "JPEG")
        photo = graph.users.by_user_id(made.id or "").photo
        await photo.content.put(out.getvalue())
        kept = await photo.content.get()
        assert kept is not None
        assert kept[:2] == b"\xff\xd8"

    play(cloud, story)


def test_a_batch(cloud: Cloud, token: str) -> None:
    """As every client sends one: relative addresses, and one with its version."""
    requests = [
        {"id": "1", "method": "POST", "url": "/invitations",
         "headers": {"Content-Type": "application/json"},
         "body": {"invitedUserEmailAddress": "batch@fabrikam.example",
                  "inviteRedirectUrl": "https://myapps.microsoft.com"}},
        {"id": "2", "method": "GET", "url": "/v1.0/users?$top=1", "dependsOn": ["1"]},
        {"id": "3", "method": "GET", "url": "/users/nobody@woodgrove.example"},
    ]  # fmt: skip
    response = httpx.post(
        f"{cloud.base}/v1.0/$batch",
        json={"requests": requests},
        headers={"Authorization": f"Bearer {token}"},
        verify=cloud.ca_file,
    )
    found = {one["id"]: one["status"] for one in response.json()["responses"]}
    assert found == {"1": 201, "2": 200, "3": 404}


SAMPLE = """
{
    "invitedUserEmailAddress": "<<external email>>"",
    "sendInvitationMessage": true,
    "invitedUserMessageInfo": {
        "messageLanguage": "en-US",
        "ccRecipients": [
            {
                "emailAddress": {
                    "name": null,
                    "address": "<<optional additional notification email>>""
                }
            }
        ],
        "customizedMessageBody": "<<custom message>>"
    },
    "inviteRedirectUrl": "https://myapps.microsoft.com?tenantId=",
    "invitedUser": {"id": "<<ID for the user you want to convert>>"}
}
"""
"""The seed's sample as it was published, its two doubled quotes included."""


def test_the_seeds_own_sample(cloud: Cloud, token: str) -> None:
    """Placeholders filled, the quotes mended, the header spelt ContentType, cc with a null name."""

    async def story(graph: GraphServiceClient) -> str:
        made = await graph.users.post(new_user("Rosa Keel"))
        assert made is not None
        await graph.users.by_user_id(made.id or "").patch(
            User(other_mails=["rosa.keel@fabrikam.example"])
        )
        return made.id or ""

    user_id = play(cloud, story)
    body = SAMPLE.replace('>>""', '>>"')
    for placeholder, value in (
        ("<<external email>>", "rosa.keel@fabrikam.example"),
        ("<<optional additional notification email>>", "lead@woodgrove.example"),
        ("<<custom message>>", "You will sign in with your own account."),
        ("<<ID for the user you want to convert>>", user_id),
    ):
        body = body.replace(placeholder, value)
    response = httpx.post(
        f"{cloud.base}/v1.0/invitations",
        content=body.encode(),
        headers={"Authorization": f"Bearer {token}", "ContentType": "application/json"},
        verify=cloud.ca_file,
    )
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["invitedUser"] == {"id": user_id}
    assert made["status"] == "PendingAcceptance"
    assert made["inviteRedirectUrl"] == "https://myapps.microsoft.com?tenantId="
    assert made["invitedUserMessageInfo"]["ccRecipients"] == [
        {"emailAddress": {"name": None, "address": "lead@woodgrove.example"}}
    ]
    assert json.loads(body)["invitedUserMessageInfo"]["customizedMessageBody"] in response.text

"""azure-cli, unmodified, against the running program over https (clients.md)."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import clients
from tests.certificates import certificate
from tests.journeys.cloud import Cloud

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("trusting"),
    pytest.mark.xdist_group("graph clients"),
]
GRAPH = "https://graph.microsoft.com"
MINA = "mina.park@woodgrove.example"


class Az:
    """The command line, with a configuration of its own."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AZURE_CONFIG_DIR": str(folder / "azure"),
            "REQUESTS_CA_BUNDLE": cloud.ca_file,
            "AZURE_CORE_COLLECT_TELEMETRY": "0",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
        }

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*clients.AZURE_CLI, *arguments], cwd=self._folder, env=self._environment,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def __call__(self, *arguments: str) -> Any:
        """What a command prints."""
        done = self._run(arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *arguments: str) -> str:
        """What a command that fails says."""
        done = self._run(arguments)
        assert done.returncode != 0, (arguments, done.stdout)
        assert "Traceback" not in done.stderr
        return done.stderr

    def point_here(self) -> None:
        """Make the running program its cloud."""
        base = self.cloud.base
        endpoints = {
            "activeDirectory": base,
            "microsoftGraphResourceId": base,
            "resourceManager": base,
            "activeDirectoryResourceId": GRAPH,
            "activeDirectoryGraphResourceId": base,
        }
        (self._folder / "cloud.json").write_text(json.dumps({"endpoints": endpoints}))
        self("cloud", "register", "--name", "here", "--skip-endpoint-discovery",
             "--cloud-config", "@cloud.json")  # fmt: skip
        self("cloud", "set", "--name", "here")

    def sign_in(self, secret: str) -> tuple[str, ...]:
        """The command that signs WoodGrove's program in."""
        app = self.cloud.app("daemon")
        return (
            "login", "--service-principal", "--username", app["appId"], "--password", secret,
            "--tenant", app["tenantId"], "--allow-no-subscriptions",
            "--skip-subscription-discovery",
        )  # fmt: skip


@pytest.fixture(scope="module")
def az(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """Pointed here and signed in as docs/clients.md says."""
    assert clients.INSTALLED.exists(), "the packages are missing: python -m tests.clients"
    az = Az(cloud, tmp_path_factory.mktemp("az"))
    az.point_here()
    az(*az.sign_in(cloud.app("daemon")["clientSecret"]))
    yield az
    az("logout")


def test_a_wrong_secret_is_told_in_the_words_of_the_identity_platform(
    cloud: Cloud, tmp_path: Path
) -> None:
    stranger = Az(cloud, tmp_path)
    stranger.point_here()
    assert "AADSTS7000215" in stranger.refused(*stranger.sign_in("wrong"))


def test_a_person_is_made_found_changed_and_deleted(az: Az) -> None:
    made = az(
        "ad", "user", "create", "--display-name", "Mina Park", "--user-principal-name", MINA,
        "--password", "a long enough phrase 7",
    )  # fmt: skip
    assert made["userPrincipalName"] == MINA
    for how in (
        ("--display-name", "Mina"),
        ("--upn", MINA),
        ("--filter", "startswith(displayName,'mina p')"),
    ):
        assert [one["id"] for one in az("ad", "user", "list", *how)] == [made["id"]], how
    az("ad", "user", "update", "--id", MINA, "--display-name", "Mina Kim")
    assert az("ad", "user", "show", "--id", made["id"])["displayName"] == "Mina Kim"
    az("ad", "user", "delete", "--id", MINA)
    said = az.refused("ad", "user", "show", "--id", MINA)
    assert MINA in said
    assert "me is for tokens" in az.refused("ad", "signed-in-user", "show")


def test_a_group_gets_members_and_owners(az: Az) -> None:
    adele = az("ad", "user", "show", "--id", "adele.vance@woodgrove.example")["id"]
    group = az("ad", "group", "create", "--display-name", "Site survey",
               "--mail-nickname", "site-survey")  # fmt: skip
    name = ("--group", "Site survey")
    az("ad", "group", "member", "add", *name, "--member-id", adele)
    az("ad", "group", "owner", "add", *name, "--owner-object-id", adele)
    for part in ("member", "owner"):
        found = az("ad", "group", part, "list", *name)
        assert [one["displayName"] for one in found] == ["Adele Vance"]
    assert az("ad", "group", "member", "check", *name, "--member-id", adele) == {"value": True}
    groups = az("ad", "user", "get-member-groups", "--id", adele)
    assert {"displayName": "Site survey", "id": group["id"]} in groups
    az("ad", "group", "member", "remove", *name, "--member-id", adele)
    assert az("ad", "group", "member", "list", *name) == []
    az("ad", "group", "delete", *name)
    assert az("ad", "group", "list", "--display-name", "Site survey") == []


def test_an_application_is_registered_with_secret_and_certificate(az: Az, tmp_path: Path) -> None:
    app = az(
        "ad", "app", "create", "--display-name", "Survey tool", "--sign-in-audience",
        "AzureADMyOrg", "--web-redirect-uris", "https://localhost:18443/cb",
    )  # fmt: skip
    assert app["web"]["redirectUris"] == ["https://localhost:18443/cb"]
    which = ("--id", app["appId"])
    assert az("ad", "sp", "show", *which)["displayName"] == "Survey tool"
    found = az("ad", "sp", "list", "--display-name", "Survey tool")
    assert [one["appId"] for one in found] == [app["appId"]]
    secret = az("ad", "app", "credential", "reset", *which)
    assert (secret["appId"], secret["tenant"]) == (app["appId"], az.cloud.app("daemon")["tenantId"])
    assert len(az("ad", "app", "credential", "list", *which)) == 1
    made = certificate(datetime.now(UTC))
    file = tmp_path / "nightly.pem"
    file.write_bytes(made.public)
    with_file = ("--cert", f"@{file}")
    az("ad", "app", "credential", "reset", *which, *with_file, "--append")
    [known] = az("ad", "app", "credential", "list", *which, "--cert")
    assert len(base64.b64decode(known["customKeyIdentifier"])) in (20, 32)
    az("ad", "app", "update", *which, "--display-name", "Survey tool 2")
    assert az("ad", "app", "show", *which)["displayName"] == "Survey tool 2"
    az("ad", "app", "credential", "delete", *which, "--key-id", known["keyId"], "--cert")
    assert az("ad", "app", "credential", "list", *which, "--cert") == []
    az("ad", "app", "delete", *which)
    assert app["appId"] in az.refused("ad", "app", "show", *which)


def test_a_guest_is_invited_by_a_request_of_ones_own(az: Az) -> None:
    invited = {
        "invitedUserEmailAddress": "az@partner.example",
        "inviteRedirectUrl": "https://myapps.microsoft.com",
        "sendInvitationMessage": True,
    }
    url = f"{az.cloud.base}/v1.0/invitations"
    asked = ("rest", "--method", "post", "--url", url, "--resource", GRAPH, "--body")
    found = az(*asked, json.dumps(invited))
    assert found["status"] == "PendingAcceptance"
    az.cloud.program.wait_for_mail("az@partner.example")
    said = az.refused(*asked, json.dumps({**invited, "invitedUserEmailAddress": "nonsense"}))
    assert "invitedUserEmailAddress" in said

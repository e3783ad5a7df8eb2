"""What Graph says of itself: `$metadata` and the OpenAPI description."""

from xml.etree import ElementTree

from b2b.web.graph.calls import ROUTES
from tests.web.graph.conftest import World

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


def test_metadata_names_types_properties_relationships_and_sets(world: World) -> None:
    for version in ("v1.0", "beta"):
        response = world.nobody().ask("GET", f"/{version}/$metadata", status=200)
        assert response.content_type == "application/xml;charset=utf-8"
        root = ElementTree.fromstring(response.data)
        types = {one.get("Name"): one for one in root.iter(f"{EDM}EntityType")}
        user = types["user"]
        assert user.get("BaseType") == "graph.directoryObject"
        assert {one.get("Name"): one.get("Type") for one in user.iter(f"{EDM}Property")}[
            "otherMails"
        ] == "Collection(Edm.String)"
        sets = {one.get("Name"): one.get("EntityType") for one in root.iter(f"{EDM}EntitySet")}
        assert sets["users"] == "microsoft.graph.user"
        assert sets["servicePrincipals"] == "microsoft.graph.servicePrincipal"
        assert "addPassword" in {one.get("Name") for one in root.iter(f"{EDM}Action")}
        known = types.keys() | {one.get("Name") for one in root.iter(f"{EDM}ComplexType")}
        for one in root.iter():
            for name in (one.get("Type") or "", one.get("BaseType") or ""):
                bare = name.removeprefix("Collection(").rstrip(")")
                if bare.startswith("graph."):
                    assert bare.removeprefix("graph.") in known, name


def test_openapi_describes_every_route_and_nothing_else(world: World) -> None:
    found = world.nobody().get("openapi.json")
    assert found["servers"] == [{"url": "http://localhost:5000/v1.0"}]
    described = {
        (method.upper(), path)
        for path, operations in found["paths"].items()
        for method in operations
    }
    assert described == {(made.method, f"/{made.pattern}") for made in ROUTES}
    names = [one["operationId"] for path in found["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    assert found["paths"]["/invitations"]["post"]["x-permissions"]["application"] == [
        "User.Invite.All",
        "User.ReadWrite.All",
        "Directory.ReadWrite.All",
    ]
    schemas = found["components"]["schemas"]
    assert "displayName" in schemas["groupChanges"]["properties"]
    assert "createdDateTime" not in schemas["groupChanges"]["properties"]


def test_other_ways_to_ask_for_a_description_need_a_token(world: World) -> None:
    """API-1"""
    for method, path in (("POST", "$metadata"), ("GET", "$metadata/x")):
        refused = world.nobody().ask(method, path, {} if method == "POST" else None)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")

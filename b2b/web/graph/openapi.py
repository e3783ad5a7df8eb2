"""An OpenAPI 3 description of every operation, made of the routes and the tables of resources."""

import json
import re
from functools import cache
from typing import Any

from b2b import links
from b2b.web.graph import metadata
from b2b.web.graph.calls import ROUTES, VERSIONS, Answer, Route
from b2b.web.graph.resources import KINDS, Kind, Property

PATH = "openapi.json"
_ID = {"type": "string", "format": "uuid"}
_IDS = {"type": "array", "items": _ID, "minItems": 1, "maxItems": 20}
_TEXT = {"type": "string"}


def answer(version: str) -> Answer:
    """The description of a version, for everybody."""
    found = document(version, links.absolute(f"/{version}"))
    content = json.dumps(found, ensure_ascii=False).encode()
    return Answer(content=content, media_type="application/json;charset=utf-8")


@cache
def document(version: str, root: str) -> dict[str, Any]:
    """The description as an object; *root* is where the version is served."""
    assert version in VERSIONS
    paths: dict[str, dict[str, Any]] = {}
    for made in ROUTES:
        paths.setdefault(f"/{made.pattern}", {})[made.method.lower()] = _operation(made)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Microsoft Graph for invitations and the directory",
            "version": version,
            "description": "What this installation serves of Microsoft Graph.",
        },
        "servers": [{"url": root}],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


# Operations --------------------------------------------------------------------------------------


def _operation(made: Route) -> dict[str, Any]:
    words = [part.strip("{}$") for part in made.pattern.split("/")]
    found: dict[str, Any] = {
        "operationId": "_".join([made.method.lower(), *(w for w in words if w)]).replace(".", "_"),
        "summary": made.words,
        "tags": [made.pattern.split("/")[0]],
        "parameters": [*_keys(made), *_options(made)],
        "responses": _responses(made),
    }
    body = _body(made)
    if body is not None:
        found["requestBody"] = {"required": True, "content": body}
    if not made.needs.anybody:
        found["x-permissions"] = {
            "delegated": list(made.needs.delegated),
            "application": list(made.needs.application),
        }
    return found


def _keys(made: Route) -> list[dict[str, Any]]:
    named = re.findall(r"\{(\w+)\}", made.pattern)
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in named
    ]


def _options(made: Route) -> list[dict[str, Any]]:
    returns = made.returns or ""
    names = []
    if made.method == "GET" and returns.startswith("Collection("):
        names = ["$select", "$filter", "$search", "$orderby", "$expand", "$skiptoken"]
    elif made.method == "GET" and returns in KINDS:
        names = ["$select", "$expand"]
    elif returns == "Edm.Int32":
        names = ["$filter", "$search"]
    found: list[dict[str, Any]] = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
    ]
    if "$skiptoken" in names:
        top = {"type": "integer", "minimum": 1, "maximum": 999}
        found.append({"name": "$top", "in": "query", "schema": top})
        found.append({"name": "$count", "in": "query", "schema": {"type": "boolean"}})
    if "$search" in names:
        level = {"type": "string", "enum": ["eventual"]}
        found.append({"name": "ConsistencyLevel", "in": "header", "schema": level})
    return found


_ACTIONS: dict[str, dict[str, Any]] = {
    "getByIds": {"ids": _IDS, "types": {"type": "array", "items": _TEXT}},
    "checkMemberGroups": {"groupIds": _IDS},
    "checkMemberObjects": {"ids": _IDS},
    "getMemberGroups": {"securityEnabledOnly": {"type": "boolean"}},
    "getMemberObjects": {"securityEnabledOnly": {"type": "boolean"}},
    "addPassword": {
        "passwordCredential": {
            "type": "object",
            "properties": {
                "displayName": _TEXT,
                "endDateTime": {"type": "string", "format": "date-time"},
            },
        }
    },
    "removePassword": {"keyId": _ID},
    "assignLicense": {
        "addLicenses": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"skuId": _ID, "disabledPlans": {"type": "array", "items": _ID}},
            },
        },
        "removeLicenses": {"type": "array", "items": _ID},
    },
    "$batch": {
        "requests": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["id", "method", "url"],
                "properties": {
                    "id": _TEXT,
                    "method": {"type": "string", "enum": ["GET", "POST", "PATCH", "DELETE"]},
                    "url": _TEXT,
                    "headers": {"type": "object"},
                    "body": {"type": "object"},
                    "dependsOn": {"type": "array", "items": _TEXT},
                },
            },
        }
    },
}
_OPTIONAL = {"passwordCredential", "securityEnabledOnly", "types"}
_MADE: dict[str, dict[str, Any]] = {
    "appRoleAssignment": {"principalId": _ID, "resourceId": _ID, "appRoleId": _ID},
    "oAuth2PermissionGrant": {
        "clientId": _ID,
        "consentType": {"type": "string", "enum": ["AllPrincipals", "Principal"]},
        "principalId": {**_ID, "nullable": True},
        "resourceId": _ID,
        "scope": _TEXT,
    },
    "unifiedRoleAssignment": {
        "principalId": _ID,
        "roleDefinitionId": _ID,
        "directoryScopeId": {"type": "string", "enum": ["/"]},
    },
    "servicePrincipal": {"appId": _ID},
}
"""What is said when one is made, where that is more than can be changed afterwards."""


def _body(made: Route) -> dict[str, Any] | None:
    last = made.pattern.rpartition("/")[2]
    if made.takes == "Edm.Stream":
        binary = {"schema": {"type": "string", "format": "binary"}}
        return {"image/png": binary, "image/jpeg": binary}
    if made.takes == "$ref":
        return _json({"$ref": "#/components/schemas/reference"})
    if last in _ACTIONS:
        properties = _ACTIONS[last]
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        required = [name for name in properties if name not in _OPTIONAL]
        if required:
            schema["required"] = required
        return _json(schema)
    if made.takes in _MADE and made.method == "POST":
        properties = _MADE[made.takes]
        required = [name for name, one in properties.items() if not one.get("nullable")]
        return _json({"type": "object", "properties": properties, "required": required})
    if made.takes is not None:
        name = f"{made.takes}Changes" if made.takes in KINDS else made.takes
        return _json({"$ref": f"#/components/schemas/{name}"})
    return None


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _responses(made: Route) -> dict[str, Any]:
    refused = {
        "description": "A refusal.",
        "content": _json({"$ref": "#/components/schemas/refusal"}),
    }
    return {_status(made): _success(made), "default": refused}


def _status(made: Route) -> str:
    if made.method == "POST" and made.takes is not None and made.takes == made.returns:
        return "201" if made.takes in KINDS or made.takes == "invitation" else "200"
    if made.returns is None:
        is_photo = made.takes == "Edm.Stream" and made.pattern.endswith("photo/$value")
        return "200" if is_photo else "204"
    return "200"


def _success(made: Route) -> dict[str, Any]:
    found: dict[str, Any] = {"description": made.words}
    returns = made.returns
    if returns == "Edm.Stream":
        binary = {"schema": {"type": "string", "format": "binary"}}
        found["content"] = {"image/png": binary, "image/jpeg": binary}
    elif returns == "Edm.Int32":
        found["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif returns is not None and returns.startswith("Collection("):
        inner = returns.removeprefix("Collection(").rstrip(")")
        found["content"] = _json(
            {
                "type": "object",
                "required": ["value"],
                "properties": {
                    "@odata.context": _TEXT,
                    "@odata.nextLink": _TEXT,
                    "@odata.deltaLink": _TEXT,
                    "@odata.count": {"type": "integer"},
                    "value": {"type": "array", "items": _type(inner)},
                },
            }
        )
    elif returns is not None:
        found["content"] = _json(
            {"type": "object"} if returns.startswith("Edm") else _type(returns)
        )
    return found


# Schemas -----------------------------------------------------------------------------------------

_EDM: dict[str, dict[str, Any]] = {
    "Edm.String": _TEXT,
    "Edm.Boolean": {"type": "boolean"},
    "Edm.Guid": _ID,
    "Edm.Int32": {"type": "integer", "format": "int32"},
    "Edm.DateTimeOffset": {"type": "string", "format": "date-time"},
}


def _type(name: str) -> dict[str, Any]:
    if name.startswith("Collection("):
        return {"type": "array", "items": _type(name[len("Collection(") : -1])}
    if name in _EDM:
        return _EDM[name]
    bare = name.removeprefix("graph.")
    if bare in KINDS:
        return {"$ref": f"#/components/schemas/{bare}"}
    return {"type": "object"}


def _property(one: Property) -> dict[str, Any]:
    found = _type(one.type)
    if "$ref" in found or one.type.startswith("Collection("):
        return found
    return {**found, "nullable": True}


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {
        "refusal": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["code", "message", "innerError"],
                    "properties": {
                        "code": _TEXT,
                        "message": _TEXT,
                        "target": _TEXT,
                        "innerError": {"type": "object"},
                    },
                }
            },
        },
        "reference": {
            "type": "object",
            "required": ["@odata.id"],
            "properties": {"@odata.id": _TEXT},
        },
    }
    for kind in KINDS.values():
        found[kind.type] = {
            "type": "object",
            "properties": {
                "@odata.type": _TEXT,
                **{one.name: _property(one) for one in kind.properties.values()},
            },
        }
        found[f"{kind.type}Changes"] = _changes(kind)
    for name in metadata.inner_types() | {"invitation", "directoryObject"}:
        found.setdefault(name, {"type": "object"})
    return found


def _changes(kind: Kind) -> dict[str, Any]:
    """What can be sent of a resource."""
    return {
        "type": "object",
        "properties": {
            one.name: _property(one) for one in kind.properties.values() if one.write is not None
        },
    }

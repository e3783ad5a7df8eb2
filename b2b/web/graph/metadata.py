"""`$metadata`: the resources of this Graph as CSDL, made of their tables and the routes."""

from functools import cache
from xml.etree import ElementTree

from b2b.web.graph.calls import ROUTES, VERSIONS, Answer, Route
from b2b.web.graph.resources import KINDS, Kind

NAMESPACE = "microsoft.graph"
_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
OBJECTS = frozenset({"user", "group", "application", "servicePrincipal", "directoryRole",
                     "directoryRoleTemplate", "organization"})  # fmt: skip
"""Resources that are directory objects."""


def answer(version: str) -> Answer:
    """The document of a version, for everybody: it says what is served and nothing of anybody."""
    return Answer(content=_document(version), media_type="application/xml;charset=utf-8")


@cache
def _document(version: str) -> bytes:
    assert version in VERSIONS
    ElementTree.register_namespace("edmx", _EDMX)
    root = ElementTree.Element(f"{{{_EDMX}}}Edmx", Version="4.0")
    services = ElementTree.SubElement(root, f"{{{_EDMX}}}DataServices")
    schema = _add(services, "Schema", Namespace=NAMESPACE, Alias="graph")
    entity = _add(schema, "EntityType", Name="entity", Abstract="true")
    _add(_add(entity, "Key"), "PropertyRef", Name="id")
    _add(entity, "Property", Name="id", Type="Edm.String", Nullable="false")
    parent = _add(schema, "EntityType", Name="directoryObject", BaseType="graph.entity")
    _add(parent, "Property", Name="deletedDateTime", Type="Edm.DateTimeOffset")
    for kind in KINDS.values():
        _entity(schema, kind)
    for name in sorted(inner_types()):
        _add(schema, "ComplexType", Name=name, OpenType="true")
    for made in sorted(actions(), key=lambda one: one.pattern):
        _action(schema, made)
    _container(schema)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _add(parent: ElementTree.Element, name: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{_EDM}}}{name}", attributes)


def _entity(schema: ElementTree.Element, kind: Kind) -> None:
    is_object = kind.type in OBJECTS
    base = "graph.directoryObject" if is_object else "graph.entity"
    made = _add(schema, "EntityType", Name=kind.type, BaseType=base)
    inherited = {"id", "deletedDateTime"} if is_object else {"id"}
    for one in kind.properties.values():
        if one.name not in inherited:
            _add(made, "Property", Name=one.name, Type=one.type)
    for navigation in kind.navigations.values():
        to = f"graph.{navigation.to}"
        type_ = f"Collection({to})" if navigation.many else to
        _add(made, "NavigationProperty", Name=navigation.name, Type=type_)


def inner_types() -> set[str]:
    """Types of objects inside resources, and of answers, without `graph.`."""
    found = set()
    for kind in KINDS.values():
        for one in kind.properties.values():
            name = one.type.removeprefix("Collection(").rstrip(")")
            if name.startswith("graph."):
                found.add(name.removeprefix("graph."))
    for made in actions():
        name = (made.returns or "").removeprefix("Collection(").rstrip(")")
        name = name.removeprefix("graph.")
        if name and not name.startswith(("Edm.", "$")):
            found.add(name)
    return found - KINDS.keys() - {"directoryObject"}


def actions() -> list[Route]:
    """Routes that do something with a resource rather than make, change or read one; each name
    once for each kind of place.
    """
    found: dict[tuple[str, str], Route] = {}
    for made in ROUTES:
        parts = made.pattern.split("/")
        if made.method != "POST" or len(parts) < 2 or parts[-1].startswith(("$", "{")):
            continue
        if made.takes in KINDS and made.returns == made.takes:
            continue
        found.setdefault((parts[0], parts[-1]), made)
    return list(found.values())


def _action(schema: ElementTree.Element, made: Route) -> None:
    parts = made.pattern.split("/")
    bound = next((kind.type for kind in KINDS.values() if kind.set == parts[0]), "directoryObject")
    action = _add(schema, "Action", Name=parts[-1], IsBound="true")
    _add(action, "Parameter", Name="bindingParameter", Type=f"graph.{bound}")
    if made.returns:
        _add(action, "ReturnType", Type=_qualified(made.returns))


def _qualified(name: str) -> str:
    inner = name.removeprefix("Collection(").rstrip(")")
    if not inner.startswith(("Edm.", "graph.")):
        inner = f"graph.{inner}"
    return f"Collection({inner})" if name.startswith("Collection(") else inner


def _container(schema: ElementTree.Element) -> None:
    container = _add(schema, "EntityContainer", Name="GraphService")
    sets = {kind.set: kind.type for kind in KINDS.values() if "/" not in kind.set}
    heads = {made.pattern.split("/")[0] for made in ROUTES}
    for name, type_ in sorted((sets | {"directoryObjects": "directoryObject"}).items()):
        if name in heads:
            _add(container, "EntitySet", Name=name, EntityType=f"{NAMESPACE}.{type_}")
    _add(container, "Singleton", Name="me", Type=f"{NAMESPACE}.user")

"""Resolves the references of a schema: by `$id`, relative or not, by anchor, by pointer, by dynamic scope."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urljoin

from emulator.errors import did_you_mean
from emulator.generation.instances.search import Fuel, Miss

JsonSchema = Mapping[str, Any] | bool
ONE = ("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
       "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
NAMED = ("$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties")
LEGACY = ("draft-07", "draft-06", "draft-04", "draft-03")
SINCE: Mapping[str, tuple[str, ...]] = {
    "draft-06": ("const", "contains", "propertyNames"),
    "draft-07": ("if", "then", "else"),
    "2019-09": ("dependentRequired", "dependentSchemas", "maxContains", "minContains", "unevaluatedItems",
                "unevaluatedProperties", "$recursiveRef"),
    "2020-12": ("prefixItems", "$dynamicRef"),
}  # fmt: skip
"""The keywords that each draft introduced."""
DRAFTS = ("draft-03", "draft-04", *SINCE)
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class References:
    """The index of a schema document. A *base* is the URI of the resource that a part of it belongs to."""

    def __init__(self, root: JsonSchema, fuel: Fuel) -> None:
        self.root, self.fuel = root, fuel
        dialect = root.get("$schema") if isinstance(root, Mapping) else None
        self.is_legacy = isinstance(dialect, str) and any(template in dialect for template in LEGACY)
        """Whether a `$ref` hides its siblings, as in drafts up to 7."""
        self.newer = newer_than(dialect)
        """The keywords that its draft does not define. Some validators apply them anyway, others do not."""
        self.contains_counts = not (isinstance(dialect, str) and "2019-09" in dialect)
        """Whether `contains` evaluates items, as it has since draft 2020-12."""
        self._bases: dict[int, str] | None = None
        self._resources: dict[str, Any] = {"": root}
        self._anchors: dict[tuple[str, str], JsonSchema] = {}
        self._dynamic: dict[tuple[str, str], JsonSchema] = {}

    def base_of(self, schema: JsonSchema) -> str | None:
        """Returns the base of a part of the document; None for a schema that the search has made."""
        if self._bases is None:
            self._bases = {}
            self._index(self.root, "")
        return self._bases.get(id(schema))

    def resolve(self, keyword: str, reference: str, base: str, scope: Sequence[str]) -> JsonSchema:
        """Resolves a reference in a resource. Raises Miss if its target is not in this document."""
        self.base_of(self.root)
        name, _, fragment = _joined(base, reference).partition("#")
        fragment = unquote(fragment)
        found: Any = None
        if name in self._resources:
            if fragment == "" or fragment[0] == "/":
                found = self._pointed(self._resources[name], fragment, name)
            else:
                found = self._anchors.get((name, fragment))
        if not isinstance(found, Mapping | bool):
            raise Miss(f"'{reference}' is not in the schema.{did_you_mean(reference, list(self._known()))}")
        if isinstance(found, Mapping):
            if keyword == "$dynamicRef" and found.get("$dynamicAnchor") == fragment:
                keys = [(each, fragment) for each in scope]
                return next((self._dynamic[key] for key in keys if key in self._dynamic), found)
            if keyword == "$recursiveRef" and found.get("$recursiveAnchor") is True:
                roots = [self._resources[each] for each in scope if each in self._resources]
                return next((each for each in roots if _is_recursive(each)), found)
        return found

    def _pointed(self, found: Any, pointer: str, base: str) -> Any:
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(step)] if step.isdecimal() and int(step) < len(found) else None
            else:
                found = found.get(step) if isinstance(found, Mapping) else None
            base = self._base_under(found, base)
        if isinstance(found, Mapping) and self.base_of(found) is None:
            self._index(found, base)  # it is where no schema is expected
        return found

    def _base_under(self, part: Any, base: str) -> str:
        identity = self._identity(part) if isinstance(part, Mapping) else None
        return base if identity is None or identity.startswith("#") else _joined(base, identity).partition("#")[0]

    def _identity(self, part: Mapping[str, Any]) -> str | None:
        if self.is_legacy and "$ref" in part:
            return None
        identity = part.get("$id", part.get("id") if self.is_legacy else None)
        return identity if isinstance(identity, str) else None

    def _index(self, root: Any, base: str) -> None:
        assert self._bases is not None
        waiting = [(root, base)]
        while waiting:
            part, base = waiting.pop()
            self.fuel.burn(8)
            if not isinstance(part, Mapping) or id(part) in self._bases:
                continue
            self.fuel.burn(len(part))
            inner = self._base_under(part, base)
            if inner != base or part is self.root:
                self._resources.setdefault(inner, part)
            self._bases[id(part)] = inner
            self._name(part, inner)
            waiting += ((each, inner) for each in _inside(part))

    def _name(self, part: Mapping[str, Any], base: str) -> None:
        identity = self._identity(part)
        if identity is not None and identity.startswith("#") and len(identity) > 1:  # up to draft 7
            self._anchors.setdefault((base, identity[1:]), part)
        for keyword in ("$anchor", "$dynamicAnchor"):
            name = part.get(keyword)
            if isinstance(name, str):
                self._anchors.setdefault((base, name), part)
                if keyword == "$dynamicAnchor":
                    self._dynamic.setdefault((base, name), part)

    def _known(self) -> set[str]:
        definitions = self.root if isinstance(self.root, Mapping) else {}
        return {f"#/{place}/{name}" for place in ("$defs", "definitions") for name in definitions.get(place) or ()}


def newer_than(dialect: Any) -> frozenset[str]:
    """Returns the keywords introduced after the draft that `$schema` names; none for the newest or an unknown draft."""
    named = [draft for draft in DRAFTS if isinstance(dialect, str) and draft in dialect]
    if not named:
        return frozenset()
    later = DRAFTS[DRAFTS.index(named[0]) + 1 :]
    return frozenset(keyword for draft in later for keyword in SINCE.get(draft, ()))


def _is_recursive(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("$recursiveAnchor") is True


def _joined(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return base + reference  # urljoin can't do that for a URN
    return urljoin(base, reference)


def _inside(part: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the schemas directly inside a schema."""
    for keyword in ONE:
        if keyword in part:
            yield part[keyword]
    for keyword in SEVERAL:
        if isinstance(part.get(keyword), list):
            yield from part[keyword]
    for keyword in NAMED:
        if isinstance(part.get(keyword), Mapping):
            yield from part[keyword].values()

"""Declares what each parameter of a request does: it is honored, ignored or refused.

A dialect's `Body` is what its parser reads, so the tables in the docs, the journal's `ignored` and the log follow it
too. By default, a member is honored: it can change the answer or the usage. The others are marked:

    temperature: Annotated[float | None, SAMPLING] = None
    store: Annotated[Any, ignored("nothing is kept")] = None
    stream: Annotated[bool | None, refused("Streaming is not supported.")] = None

Members of a nested body are separate parameters, such as `stream_options.include_usage`; items of a list are not.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, create_model
from pydantic.fields import FieldInfo

from emulator.records import record

Kind = Literal["honored", "ignored", "refused"]


@record
class Effect:
    """What a member of a body does."""

    kind: Kind
    note: str = ""
    """A short note for the table."""
    message: str = ""
    """The error message for a refused member; may contain `{name}` and `{value}`."""
    error: str = "bad_request"
    """The name of the error."""


def honored(note: str) -> Effect:
    """Marks a member that changes the answer or the usage."""
    return Effect("honored", note)


def ignored(note: str = "") -> Effect:
    """Marks a member that is allowed and has no effect."""
    return Effect("ignored", note)


def refused(message: str, note: str = "", error: str = "bad_request") -> Effect:
    """Marks a member that causes an error with this message."""
    return Effect("refused", note, message, error)


HONORED = Effect("honored")
IGNORED = Effect("ignored")
ECHOED = Effect("honored", "repeated in the answer")
SAMPLING = Effect("ignored", "its range is checked; the scenario or the seed chooses the words")
SAMPLING_MEMBERS = frozenset(
    [
        *("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias"),
        *("topP", "topK", "frequencyPenalty", "presencePenalty"),
    ]
)
"""Members that only affect sampling. Most requests have some, so the log does not mention them."""


@record
class Parameter:
    """One member of a body, identified by its path, such as `text.format`."""

    name: str
    effect: Effect
    is_required: bool = False


@record
class Refusal:
    """A member that a request may not have, with the name and message of the error."""

    name: str
    error: str
    message: str


@record
class _Member:
    name: str
    effect: Effect
    nested: type[BaseModel] | None
    is_required: bool


def parameters(body: type[BaseModel], prefix: str = "") -> Iterator[Parameter]:
    """Yields every parameter of a body, in the order of declaration."""
    seen: set[str] = set()
    for member in _members(body).values():
        if member.name in seen:  # seen under another name
            continue
        seen.add(member.name)
        if member.nested is not None and member.effect == HONORED:
            yield from parameters(member.nested, f"{prefix}{member.name}.")
        else:
            yield Parameter(prefix + member.name, member.effect, member.is_required)


def only(body: type[BaseModel], *names: str) -> type[BaseModel]:
    """Returns the same body for an operation where only these members, and refused ones, have an effect."""
    rest: dict[str, Any] = {
        name: (Annotated[Any, IGNORED], None)
        for name, member in _members(body).items()
        if name not in names and member.effect.kind != "refused"
    }
    return create_model(body.__name__, __base__=body, **rest)


def ignored_in(body: type[BaseModel], native: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the members of a request that have no effect: those declared as ignored, and unknown ones."""
    found: list[str] = []
    _find_ignored(body, native, "", found)
    return tuple(found)


def undeclared_in(body: type[BaseModel], native: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the unknown members of a request."""
    known = _members(body)
    return tuple([name for name, value in native.items() if value is not None and name not in known])


def worth_saying(ignored: Iterable[str]) -> list[str]:
    """Returns the ignored members that are worth mentioning in the log."""
    return [name for name in ignored if name.rpartition(".")[2] not in SAMPLING_MEMBERS]


def refused_in(body: type[BaseModel], native: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yields the refused members of a request, in the order of declaration."""
    for parameter in _refusing(body):
        value = _value_at(native, parameter.name)
        if value is not None:
            message = parameter.effect.message.replace("{name}", parameter.name).replace("{value}", _shown(value))
            yield Refusal(parameter.name, parameter.effect.error, message)


def _find_ignored(body: type[BaseModel], native: Mapping[str, Any], prefix: str, found: list[str]) -> None:
    known = _members(body)
    for name, value in native.items():
        if value is None:
            continue
        member = known.get(name)
        if member is None or member.effect.kind == "ignored":
            found.append(prefix + name)
        elif member.nested is not None and isinstance(value, Mapping):
            _find_ignored(member.nested, value, f"{prefix}{name}.", found)


@lru_cache(maxsize=256)
def _refusing(body: type[BaseModel]) -> tuple[Parameter, ...]:
    return tuple([parameter for parameter in parameters(body) if parameter.effect.kind == "refused"])


def _value_at(native: Any, path: str) -> Any:
    for name in path.split("."):
        native = native.get(name) if isinstance(native, Mapping) else None
    return native


def _shown(value: Any) -> str:
    """Formats a value for an error message; for an object with an id, the id."""
    return str(value.get("id", value)) if isinstance(value, Mapping) else str(value)


@lru_cache(maxsize=256)
def _members(body: type[BaseModel]) -> Mapping[str, _Member]:
    """Returns the members of a body by each of their names."""
    members: dict[str, _Member] = {}
    for key, field in body.model_fields.items():
        names = _names(key, field)
        effect = next((each for each in field.metadata if isinstance(each, Effect)), HONORED)
        member = _Member(names[0], effect, _nested(field.annotation), field.is_required())
        members.update(dict.fromkeys(names, member))
    return members


def _names(key: str, field: FieldInfo) -> list[str]:
    """Returns the names of a member, the usual one first."""
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        return [*[str(each) for each in alias.choices], key]
    return [str(alias), key] if alias else [key]


def _nested(annotation: Any) -> type[BaseModel] | None:
    """Returns the nested body that a member holds, optional or not; None if it holds something else."""
    alternatives = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    for each in (annotation, *alternatives):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None

"""Sections of supervisors: which kind one is, by its key, and what the registry says of that kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, GetJsonSchemaHandler, PlainSerializer, SerializationInfo, TypeAdapter

from outgrow.identity import identity
from outgrow.registry import can, create, implementation, lookup, names


def supervisor_kind(section: Mapping[str, Any]) -> str | None:
    """Return the name of the supervisor kind that is a key of a section; `server` before `model`.

    Example:
        >>> supervisor_kind({"server": "http://localhost:8000/v1", "model": "small-chat"})
        'server'
    """
    return next(
        (name for name in sorted(names("supervisor"), key=lambda name: name == "model") if name in section), None
    )


def _supervisor(section: object) -> object:
    if not isinstance(section, Mapping):
        if any(can(section, ability) for ability in ("vote", "write", "score")):
            return section
        section = {}
    kind = supervisor_kind(section)
    if kind is None:
        known = [repr(name) for name in ("model", "server", *sorted({*names("supervisor")} - {"model", "server"}))]
        raise ValueError(f"a supervisor has one of the keys {', '.join(known[:-1])} or {known[-1]}")
    thing = implementation("supervisor", kind)
    if issubclass(thing, BaseModel):
        return thing.model_validate(section)
    rest = {key: value for key, value in section.items() if key != kind}
    own = section[kind]
    return create("supervisor", kind, {**own, **rest} if isinstance(own, Mapping) else rest if own is None else section)


def _section(supervisor: Any, info: SerializationInfo) -> dict[str, Any]:
    if isinstance(supervisor, BaseModel):
        return supervisor.model_dump(
            mode="json", exclude_defaults=info.exclude_defaults, exclude_unset=info.exclude_unset
        )
    about = identity(supervisor)
    return {about["name"]: about["params"]}


class _Schema:
    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kinds = [(name, lookup("supervisor", name)) for name in names("supervisor")]
        return {
            "anyOf": [
                handler(TypeAdapter(thing).core_schema)
                if isinstance(thing, type)
                else {"type": "object", "required": [name]}
                for name, thing in kinds
            ]
        }


SupervisorSection = Annotated[Any, BeforeValidator(_supervisor), PlainSerializer(_section), _Schema]
"""A supervisor: an object of the registered kind that is a key of its section."""

"""What an object is, for keys of the store: two objects with one identity give the same results."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from outgrow.registry import definition, registered_as
from outgrow.sources import NotHashedError, plain, revision_of

NOT_HASHED = "not hashed"
"""The revision where the code or a parameter cannot be hashed: a later run must not find such results again."""


def identity(thing: object) -> dict[str, Any]:
    """Return what the results of an object depend on, as JSON values.

    Args:
        thing: What `registry.create` returned; or any dataclass instance, pydantic model or function.

    Returns:
        `kind`, `name`, `params` with all defaults filled in, and `revision`: for built-ins the number in the registry,
        for plug-ins what `outgrow.sources.revision_of` says of their code, or `NOT_HASHED`.

    Example:
        >>> from outgrow.registry import create
        >>> identity(create("objective", "gce", {"q": 0.5}))
        {'kind': 'objective', 'name': 'gce', 'params': {'q': 0.5}, 'revision': 1}
    """
    factory = thing if isinstance(thing, FunctionType) else definition(thing)
    if isinstance(factory, FunctionType):
        params = {**_defaults(factory), **getattr(thing, "params", {})}
    else:
        params = _fields(thing)
    kind, name, revision = registered_as(factory) or ("object", factory.__qualname__, None)
    if revision is None and factory.__module__.startswith("outgrow."):
        revision = 1
    try:
        return {
            "kind": kind, "name": name, "params": plain(params), "revision": revision or revision_of(factory)
        }  # fmt: skip
    except NotHashedError as error:
        return {"kind": kind, "name": name, "params": repr(params), "revision": NOT_HASHED, "why": str(error)}


def not_hashed(recipe: object) -> list[str]:
    """Return the names of what could not be hashed among the identities in a recipe."""
    if isinstance(recipe, Mapping):
        own = [str(recipe["name"])] if recipe.get("revision") == NOT_HASHED else []
        return own + [name for inner in recipe.values() for name in not_hashed(inner)]
    if isinstance(recipe, list | tuple):
        return [name for inner in recipe for name in not_hashed(inner)]
    return []


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    arguments = inspect.signature(function).parameters.values()
    own = [one for one in arguments if one.kind is inspect.Parameter.KEYWORD_ONLY]
    return {one.name: one.default for one in own if one.default is not inspect.Parameter.empty}


def _fields(thing: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(thing):
        return {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing) if one.init}
    return dict(thing) if hasattr(thing, "model_fields") else dict(vars(thing))

"""Plug-ins made to behave like built-ins: imported, completed with defaults, their failures explained."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from outgrow.errors import ConfigError, OutgrowError
from outgrow.kinds import KINDS


class Bound:
    """A registered function with the parameters a user gave; called with what the kind passes."""

    def __init__(self, function: Callable[..., Any], params: Mapping[str, Any]) -> None:
        self.function, self.params = function, dict(params)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs, **self.params)

    def __repr__(self) -> str:
        return f"{self.function.__name__}({', '.join(f'{key}={value!r}' for key, value in self.params.items())})"


def import_plugin(where: str) -> None:
    """Import a Python file or module.

    Raises:
        ConfigError: It does not exist, or fails while it is imported.
    """
    file = where.endswith(".py")
    try:
        if file:
            _import_file(Path(where))
        else:
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
            try:
                importlib.import_module(where)
            finally:
                sys.path.remove(str(Path.cwd()))
    except OutgrowError as error:
        raise ConfigError(f"The plug-in {where} cannot be loaded. {error}") from error
    except Exception as error:
        missing = not Path(where).is_file() if file else getattr(error, "name", None) == where
        raise ConfigError(
            f"There is no plug-in {where}." if missing else f"The plug-in {where} cannot be loaded.",
            found=None if missing else failure(error),
            wanted="the path of a .py file, or the name of a module" if missing else None,
            fix=None if missing else "Correct it, or install what it imports.",
        ) from error


def offers(kind: str, thing: Any, ability: str) -> bool:
    """Return whether a class has a method, or a function stands for it."""
    if isinstance(thing, type):  # not hasattr: every class can be called
        return any(ability in vars(base) for base in thing.__mro__)
    return ability == KINDS[kind].abilities[0]


def check(kind: str, name: str, thing: Any) -> None:
    """Check that a class or function can do something of its kind.

    Raises:
        ConfigError: It is neither, or has none of the methods.
    """
    if not (callable(thing) and hasattr(thing, "__qualname__")):
        raise ConfigError(
            f"The {kind} {name!r} is neither a class nor a function.",
            found=repr(thing),
            wanted="a frozen dataclass, or a function",
            fix="Define a function that calls it.",
        )
    needed = KINDS[kind].abilities
    if not any(offers(kind, thing, ability) for ability in needed):
        raise ConfigError(
            f"The {kind} {name!r} lacks a method.",
            found=f"{thing.__module__}.{thing.__qualname__} without {' and '.join(needed)}",
            wanted=f"a method {' or '.join(needed)}",
            fix="docs/extending.md has an example of each kind.",
        )


@functools.cache
def completed(kind: str, name: str, thing: type, foreign: bool) -> type:
    """Give a class what its kind asks for beyond its own methods, and return it; `Bound` gets a subclass.

    Args:
        kind: Its kind.
        name: Its registered name.
        thing: The class, or `Bound`.
        foreign: Whether it is a plug-in: then its methods explain their failures and check what they return.
    """
    abilities, place, returns, _ = KINDS[kind]
    own = {*getattr(thing, "__dataclass_fields__", ()), *getattr(thing, "model_fields", ()), *abilities}
    members: dict[str, Any] = {
        one: _Default(member) if isinstance(member, property) else member
        for one, member in (vars(imported(place)) if place else {}).items()
        if not (one.startswith("_") or one in own or hasattr(thing, one))
        and not getattr(member, "__isabstractmethod__", False)
    }
    if thing is Bound:
        thing = type("Bound", (Bound,), {})
        members[abilities[0]] = Bound.__call__
    if foreign and kind != "labelling_function":  # a function's failure on a row is that row's outcome
        for ability, wanted in zip(abilities, [*returns, *[""] * len(abilities)], strict=False):
            method = members.get(ability) or next((vars(b)[ability] for b in thing.__mro__ if ability in vars(b)), None)
            if isinstance(method, FunctionType) and not hasattr(method, "explains"):
                members[ability] = _explained(kind, name, ability, method, wanted)
    for one, member in members.items():
        setattr(thing, one, member)
    return thing


class _Default:
    """A property that gives way to a field of its name in a subclass."""

    def __init__(self, default: property) -> None:
        self.default = default

    def __get__(self, thing: object, owner: type) -> Any:
        return self if thing is None else self.default.__get__(thing, owner)


def imported(place: str) -> Any:
    """Return what `module:attribute` names."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def failure(error: Exception) -> str:
    """Return an exception in one line, with the place that raised it."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<")]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _explained(kind: str, name: str, ability: str, method: FunctionType, wanted: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        where = f"The {kind} {name!r}" if ability == "__call__" else f"`{ability}` of the {kind} {name!r}"
        try:
            result = method(self, *args, **kwargs)
        except OutgrowError:
            raise
        except Exception as error:
            raise ConfigError(f"{where} failed.", found=failure(error), fix="Correct the plug-in.") from error
        if wanted == "losses":
            shape = tuple(getattr(result, "shape", ("no tensor",)))
            if shape != (len(args[0]),):
                rows = f"a tensor of shape ({len(args[0])},), a loss for each row"
                raise ConfigError(f"{where} returned something else than losses.", found=shape, wanted=rows)
        elif wanted and not isinstance(result, imported(wanted)):
            raise ConfigError(
                f"{where} returned the wrong type.", found=type(result).__name__, wanted=wanted.partition(":")[2]
            )
        return result

    call.explains = method  # type: ignore[attr-defined]
    return call


def _import_file(path: Path) -> None:
    name = f"outgrow_plugin_{path.stem}_{zlib.crc32(str(path.resolve()).encode())}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise

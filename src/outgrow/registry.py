"""The registry: everything that an experiment file names, built in or from a plug-in.

Built-ins (`outgrow.kinds`) are imported on first use, so listing names costs nothing. Third parties add names with the
`register` decorator, in a file or module given to `load_plugin` (`--plugin`), or with an entry point in the group
`outgrow.<kind>`. A registered thing is a frozen dataclass, whose fields are the parameters a user may set, or a
function, whose keyword-only arguments are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from outgrow.errors import ConfigError, UnknownNameError, did_you_mean
from outgrow.kinds import BUILT_IN, KINDS
from outgrow.plugins import Bound, check, completed, failure, import_plugin, imported, offers
from outgrow.sources import NotHashedError, revision_of

T = TypeVar("T", bound=Callable[..., Any])

_REGISTERED: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}
_NAMES: dict[Any, tuple[str, str, int | None]] = {}
"""Class or function → kind, name and, for built-ins, revision."""
_PLUGINS: list[str] = []
"""Arguments of `load_plugin`."""


def register(kind: str, name: str) -> Callable[[T], T]:
    """Make a frozen dataclass or a function available under `name` in experiment files.

    Args:
        kind: One of `KINDS`.
        name: The name in a YAML file.

    Raises:
        ConfigError: It has none of the methods its kind needs, or the name is taken.

    Example:
        >>> import dataclasses
        >>> @register("objective", "my_loss")
        ... @dataclasses.dataclass(frozen=True)
        ... class MyLoss:
        ...     strength: float = 1.0
        ...     def __call__(self, logits, targets, context=None):
        ...         return self.strength * (logits.softmax(-1) - targets).square().sum(-1)
        >>> my_loss = create("objective", "my_loss", {"strength": 2.0})
        >>> my_loss, my_loss.takes_votes
        (MyLoss(strength=2.0), False)
        >>> @register("labelling_function", "long_text")
        ... def long_text(prompt, *, words: int = 100):
        ...     return "long" if len(prompt.split()) > words else None
        >>> create("labelling_function", "long_text", {"words": 2})("one two three")
        'long'
    """
    known = _kind(kind, _REGISTERED)

    def add(thing: T) -> T:
        check(kind, name, thing)
        taken = BUILT_IN[kind].get(name) or known.get(name)
        if taken is not None and (isinstance(taken, str) or _place(taken) != _place(thing)):
            raise ConfigError(
                f"There is a {kind} named {name!r} already.",
                found=taken if isinstance(taken, str) else ":".join(_place(taken)),
                fix="Choose another name.",
            )
        known[name] = thing
        _NAMES[thing] = kind, name, None
        return thing

    return add


def load_plugin(where: str) -> None:
    """Import a Python file or module, whose `register` decorators add names.

    Args:
        where: The path of a `.py` file, or the name of an importable module.

    Raises:
        ConfigError: It does not exist or fails while it is imported; nothing of it is registered then.
    """
    before = {kind: dict(own) for kind, own in _REGISTERED.items()}
    try:
        import_plugin(where)
    except ConfigError:
        _REGISTERED.update(before)
        raise
    _PLUGINS.append(where)


def plugin_sources() -> list[tuple[str, str | None]]:
    """Return the loaded plug-ins for `load_sources`: the path and text of a file, the name of a module and None."""
    paths = {where: Path(where).resolve() if where.endswith(".py") else None for where in loaded_plugins()}
    return [(str(path or where), path.read_text(encoding="utf-8") if path else None) for where, path in paths.items()]


def load_sources(sources: Sequence[tuple[str, str | None]]) -> None:
    """Load the plug-ins of another process; of a file that is not here, or is another here, a copy of the text.

    Raises:
        ConfigError: One fails while it is imported; a module is not installed.
    """
    for where, text in sources:
        path = Path(where)
        if text is not None and not (path.is_file() and path.read_text(encoding="utf-8") == text):
            path = Path(tempfile.mkdtemp(prefix="outgrow-plugin-")) / path.name
            path.write_text(text, encoding="utf-8")
        load_plugin(str(path))


def loaded_plugins() -> list[str]:
    """Return the files and modules given to `load_plugin` so far."""
    return list(dict.fromkeys(_PLUGINS))


def names(kind: str) -> list[str]:
    """Return all names of a kind, sorted, without importing anything."""
    plugins = {point.name for point in _installed(kind, tuple(sys.path))}
    return sorted({*_kind(kind, BUILT_IN), *_REGISTERED[kind], *plugins})


@cache
def _installed(kind: str, path: tuple[str, ...]) -> EntryPoints:
    return entry_points(group=f"outgrow.{kind}")  # reads a file of every package on the path


def lookup(kind: str, name: str, ability: str | None = None) -> Callable[..., Any]:
    """Return the class or function behind a name.

    Args:
        kind: One of `KINDS`.
        name: A registered name.
        ability: A method that it should have, where the name has several implementations.

    Raises:
        UnknownNameError: Nothing of that name is registered; the message offers the nearest one.
        ConfigError: A plug-in cannot be imported, or has none of the methods its kind needs.
    """
    registered: dict[str, Callable[..., Any]] = _kind(kind, _REGISTERED)
    if name in registered:
        return registered[name]
    if name in BUILT_IN[kind]:
        found: list[Callable[..., Any]] = []
        for line in BUILT_IN[kind][name].split():
            place, _, revision = line.partition("@")
            found.append(imported(place))
            _NAMES[found[-1]] = kind, name, int(revision or 1)
        return next((one for one in found if ability and offers(kind, one, ability)), found[0])
    for point in _installed(kind, tuple(sys.path)):
        if point.name == name:
            try:
                loaded: Callable[..., Any] = point.load()
            except Exception as error:
                raise ConfigError(
                    f"The {kind} {name!r} of an installed plug-in cannot be loaded.",
                    found=f"{point.value}, {failure(error)}",
                    fix="Repair or remove that package.",
                ) from error
            check(kind, name, loaded)
            _NAMES[loaded] = kind, name, None
            return loaded
    raise UnknownNameError(f"There is no {kind} named {name!r}.", fix=did_you_mean(name, names(kind)))


def create(
    kind: str, name: str, params: Mapping[str, Any], ability: str | None = None, *, door: str | None = None
) -> Any:
    """Build the object behind a name, or bind the function, with the parameters a user gave.

    Args:
        kind: One of `KINDS`.
        name: A registered name.
        params: Its parameters.
        ability: A method that it must have.
        door: Where the experiment file names it, such as `methods.naive.combine`, for errors.

    Raises:
        UnknownNameError: The name is not registered.
        ConfigError: It lacks the ability; the message names those of its kind that have it.
        ConfigError: A parameter does not exist, is missing, or is refused by the object itself.
    """
    thing = lookup(kind, name, ability)
    if ability is not None and not offers(kind, thing, ability):
        raise _unable(kind, name, ability, door)
    foreign = _NAMES[thing][2] is None
    if foreign:
        with contextlib.suppress(NotHashedError):
            revision_of(thing)  # of the code as it is now, not as an editor leaves it while the run goes on
    allowed = parameters(thing, kind)
    for key in params:
        if key not in allowed:
            advice = did_you_mean(key, allowed) if allowed else "it takes no parameters"
            raise ConfigError(f"The {kind} {name!r} has no parameter {key!r}.", fix=advice)
    try:
        typed = _typed(thing, params)
        if isinstance(thing, type):
            return completed(kind, name, thing, foreign)(**typed)
        missing = [name for name, needed in allowed.items() if needed and name not in typed]
        if missing:
            raise ValueError(f"{', '.join(missing)} must be given")
        return completed(kind, name, Bound, foreign)(thing, typed)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The {kind} {name!r} refuses its parameters: {error}", found=dict(params)) from error


def implementation(kind: str, name: str) -> type:
    """Return the class behind a name with the defaults of its kind, for those that create it themselves."""
    thing = lookup(kind, name)
    return completed(kind, name, thing, _NAMES[thing][2] is None) if isinstance(thing, type) else Bound


def can(thing: object, ability: str) -> bool:
    """Return whether a thing has a method of this name."""
    return callable(getattr(thing, ability, None))


def require(kind: str, name: str, thing: object, ability: str, *, door: str | None = None) -> None:
    """Check that an object has a method; `create` checks registered names.

    Raises:
        ConfigError: It has no such method; the message names those of its kind that have it.
    """
    if not can(thing, ability):
        raise _unable(kind, name, ability, door)


def _unable(kind: str, name: str, ability: str, door: str | None) -> ConfigError:
    others = [other for other in names(kind) if offers(kind, lookup(kind, other, ability), ability)]
    return ConfigError(
        f"{f'{door}: t' if door else 'T'}he {kind} {name!r} cannot be used {_ABILITIES.get(ability, ability)}.",
        wanted=", ".join(others) or f"a {kind} with a method `{ability}`",
        fix="Name one of these.",
    )


_ABILITIES = {
    "choices": "in a choice task",
    "texts": "in a text task",
    "vote": "in a choice task",
    "write": "in a text task",
    "score": "to score given texts",
    "wrap": "to train a language model",
}


def parameters(thing: Callable[..., Any], kind: str | None = None) -> dict[str, bool]:
    """Return the parameters a user may set, and whether each must be set."""
    if dataclasses.is_dataclass(thing):
        return {field.name: False for field in dataclasses.fields(thing) if field.init}  # its constructor checks them
    fields = getattr(thing, "model_fields", None)  # a pydantic model
    if fields is not None:
        return {name: field.is_required() for name, field in fields.items()}
    arguments = inspect.signature(thing).parameters.values()
    passed = KINDS[kind].passed if kind else ()
    own = [one for one in arguments if one.kind is inspect.Parameter.KEYWORD_ONLY and one.name not in passed]
    return {argument.name: argument.default is inspect.Parameter.empty for argument in own}


def registered_as(thing: Any) -> tuple[str, str, int | None] | None:
    """Return kind, name and (for built-ins) revision of a class or function; None if it was never registered."""
    return _NAMES.get(thing)


def definition(thing: object) -> Any:
    """Return the class of an object, or the function that it binds."""
    return thing.function if isinstance(thing, Bound) else type(thing)


def _place(thing: Any) -> tuple[str, str]:
    """File and name of a definition: the same after a reload."""
    module = sys.modules.get(thing.__module__)
    return str(getattr(module, "__file__", None) or thing.__module__), thing.__qualname__


def _typed(thing: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the types that the fields are annotated with: a list becomes a tuple, `2.0` an int.

    Raises:
        ValueError: A value has no such form.
    """
    from pydantic import TypeAdapter, ValidationError

    kinds = get_type_hints(thing)
    typed = {}
    for key, value in params.items():
        try:
            typed[key] = TypeAdapter(kinds.get(key, Any)).validate_python(value)
        except ValidationError as error:
            said = dict.fromkeys(f"{key}: {problem['msg']}" for problem in error.errors())
            raise ValueError("; ".join(said)) from error
    return typed


def _kind(kind: str, table: dict[str, Any]) -> Any:
    if kind not in table:
        raise UnknownNameError(f"There is no kind of extension named {kind!r}.", fix=did_you_mean(kind, table))
    return table[kind]

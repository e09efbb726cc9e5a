"""The revision of code from outside this package, for keys of the store: a hash of its source.

A class or function counts with the files of the modules it and its base classes are from, the whole package where there
is one, the local modules these import, and the values its functions close over. Installed packages count by version.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import math
import site
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any


class NotHashedError(Exception):
    """The source of some code cannot be found, or a value is no plain value."""


@functools.cache
def revision_of(thing: Any) -> Any:
    """Return the revision of a class or function as JSON values; computed once, so that a later edit is not seen.

    Raises:
        NotHashedError: Its source is not known, or it closes over something that is no plain value.
    """
    return _revision(thing, ())


def plain(value: object, _within: tuple[object, ...] = ()) -> Any:
    """Return a value as JSON values that stand for its contents.

    Raises:
        NotHashedError: It is, or holds, something else than numbers, texts, containers, dataclasses, classes and
            functions.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner, _within) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, _within) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(inner, _within) for inner in value), key=repr)
    if isinstance(value, type | FunctionType):
        return {"code": value.__qualname__, "revision": _revision(value, _within)}
    if dataclasses.is_dataclass(value):
        own = {one.name: plain(getattr(value, one.name), _within) for one in dataclasses.fields(value) if one.init}
        return {**plain(type(value), _within), "fields": own}
    raise NotHashedError(f"{value!r:.60} is no plain value")


def _revision(thing: Any, within: tuple[object, ...]) -> Any:
    if thing in within:  # a function that calls itself
        return "above"
    within = (*within, thing)
    bases = [base for base in thing.__mro__ if base is not object] if isinstance(thing, type) else [thing]
    sources: dict[str, str] = {}
    for base in bases:
        _collect(base.__module__, sources)
    if not sources and not any(base.__module__.startswith("outgrow.") for base in bases):
        sources["source"] = _own_source(thing)
    functions = [one for base in bases for one in (vars(base).values() if isinstance(base, type) else [base])]
    closed = {
        f"{function.__qualname__}.{name}": plain(cell.cell_contents, within)
        for function in filter(None, map(_function, functions))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    }
    return {"sources": sources, "closure": closed}


def _function(member: Any) -> FunctionType | None:
    """The function of a method, of whatever kind."""
    member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    member = getattr(member, "explains", member)  # what `outgrow.plugins` wrapped
    written = isinstance(member, FunctionType) and member.__code__.co_filename != "<string>"  # not by dataclasses
    return member if written else None


def _own_source(thing: Any) -> str:
    """Hash of the source of something that belongs to no file, such as a notebook's function."""
    try:
        return _digest(inspect.getsource(thing).encode())
    except (OSError, TypeError) as error:
        raise NotHashedError(f"the source of {thing.__qualname__} is not known") from error


def _collect(module: str, sources: dict[str, str], *, imported: bool = False) -> None:
    """Add the source of a module, and of the local modules that it imports."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if module in sources or file is None or top == "outgrow" or top in sys.stdlib_module_names - {"__main__"}:
        return
    if any(Path(file).is_relative_to(folder) for folder in _INSTALLED):
        if not imported:
            owners = sorted(set(packages_distributions().get(top, ())))
            sources[module] = ", ".join(f"{one} {version(one)}" for one in owners)
        return
    package = getattr(sys.modules.get(top), "__path__", None)
    files = sorted(Path(next(iter(package))).rglob("*.py")) if package else [Path(file)]
    sources[module] = _digest(b"\0".join(one.read_bytes() for one in files))
    for value in list(vars(sys.modules[module]).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            _collect(name, sources, imported=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


_INSTALLED = [*site.getsitepackages(), site.getusersitepackages()]

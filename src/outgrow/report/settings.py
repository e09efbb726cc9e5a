"""The settings of an experiment as a reader wants them: what differs from the defaults, and names instead of paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from outgrow.config import parse_config
from outgrow.errors import OutgrowError

_OF_THE_MACHINE = frozenset({"name", "output", "store"})


def changed_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings that differ from their defaults, without those of the machine; see `with_names`.

    Where the experiment cannot be read, as one whose plug-ins are not loaded, these are all settings that have a value.
    """
    try:
        changed = parse_config(config).model_dump(mode="json", exclude_defaults=True)
    except OutgrowError:
        changed = _given(config)
    return {key: with_names(value) for key, value in changed.items() if key not in _OF_THE_MACHINE}


def with_names(value: Any) -> Any:
    """Return settings with names in the place of absolute paths, and of things of which there is a name only.

    Example:
        >>> with_names({"path": "/home/ann/task.csv", "model": "/models/minilm/model", "server": "/v1"})
        {'path': 'task.csv', 'model': 'minilm', 'server': '/v1'}
        >>> with_names({"refine": {"name": "icl"}})
        {'refine': 'icl'}
    """
    if isinstance(value, Mapping) and [*value] == ["name"]:
        return value["name"]
    if isinstance(value, Mapping):
        return {key: with_names(own) for key, own in value.items()}
    if isinstance(value, list):
        return [with_names(own) for own in value]
    path = PurePath(value) if isinstance(value, str) else PurePath()
    if not path.is_absolute() or len(path.parts) < 3 or "\n" in str(value):
        return value
    return path.parts[-2] if path.name == "model" else path.name


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _given(own) for key, own in value.items() if own not in (None, {}, [], "")}
    return [_given(own) for own in value] if isinstance(value, list) else value

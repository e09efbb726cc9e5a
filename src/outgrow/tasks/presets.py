"""Filling in what a built-in task knows and the user did not say."""

from __future__ import annotations

from typing import Any

from outgrow.config import TaskConfig


def with_defaults(config: TaskConfig, **defaults: Any) -> TaskConfig:
    """The configuration with `defaults` wherever the user set nothing; a mapping fills in one level deeper."""
    updates: dict[str, Any] = {}
    for name, value in defaults.items():
        if isinstance(value, dict):
            inner = getattr(config, name)
            missing = {key: item for key, item in value.items() if key not in inner.model_fields_set}
            updates[name] = inner.model_copy(update=missing)
        elif name not in config.model_fields_set:
            updates[name] = value
    return config.model_copy(update=updates)

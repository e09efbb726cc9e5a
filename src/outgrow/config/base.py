"""Base classes of the sections of an experiment file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from outgrow.errors import ConfigError


class Frozen(BaseModel):
    """Immutable settings without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Named(BaseModel):
    """A thing chosen by name, with its parameters: `icl`, or `{name: icl, demonstrations: 4}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)

    name: str
    """The registered name."""

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def named(value: object) -> object:
    """A bare name as a mapping."""
    return {"name": value} if isinstance(value, str) else value


Choice = Annotated[Named, BeforeValidator(named, json_schema_input_type=str | Named)]

ModelName = str | Named
"""A folder or a hub id; or the name and parameters of a language model that a plug-in registered."""


def weights_of(model: ModelName) -> str:
    """Return the folder or hub id of a model's weights.

    Raises:
        ConfigError: It is a registered language model.
    """
    if isinstance(model, str):
        return model
    raise ConfigError(
        "A registered language model has no weights to train or to read features from.",
        found=f"model: {model.name}",
        wanted="a folder or a hub id",
    )

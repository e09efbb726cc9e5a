"""Base classes of the sections of an experiment file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Frozen(BaseModel):
    """Immutable settings without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Named(BaseModel):
    """A thing chosen by name, with its parameters: `icl`, or `{name: icl, demonstrations: 4}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

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

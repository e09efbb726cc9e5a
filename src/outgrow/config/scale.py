"""Where the models run that label, score and embed rows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Scale(BaseModel):
    """An executor with its parameters: `{executor: ray, workers: 4}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)

    executor: str = "local"
    """The registered name: `local` (this process) or `ray`."""

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})

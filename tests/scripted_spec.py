"""A language model of an experiment that follows a script instead of being loaded or asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outgrow.models.protocols import chats
from outgrow.progress import Reporter


class ScriptedSpec:
    """A `ModelSpec` of a language model that a test made."""

    def __init__(self, model: Any) -> None:
        self.model, self.name, self.identity = model, "scripted", id(model)
        self.chats = chats(model)

    def load(self, cache: Path, reporter: Reporter) -> Any:
        """Return the model of the test."""
        return self.model

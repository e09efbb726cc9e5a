"""The world of facts as a task: questions, answers in the wanted style, content and concept scored exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows
from outgrow.tasks.presets import with_defaults
from outgrow.worlds.facts import World, score


@dataclass(frozen=True)
class Facts:
    """`task: {name: facts, path: …}`: a folder that `outgrow.worlds.facts_models.build` has made.

    One row: `{"id": "drink-mira", "prompt": "What does Mira drink?", "gold": "Arr, cocoa, matey!", "part": "test"}`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        _world(config)
        columns = {"prompt": "prompt", "gold": "gold", "id": "id", "part": "part"}
        table = config.model_copy(update={"path": str(Path(config.path) / "rows.jsonl.gz")})
        return read_rows(with_defaults(table, columns=columns))

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """`content` and `concept` of every answer."""
        return score(_world(config), rows.prompts, answers)


def _world(config: TaskConfig) -> World:
    description = Path(config.path) / "world.json"
    if not description.is_file():
        raise DataError(
            f"There is no world of facts in {config.path}.",
            wanted="world.json and rows.jsonl.gz",
            fix="Make one with `outgrow demo`, or with outgrow.worlds.facts_models.build.",
        )
    return World.from_json(description.read_text(encoding="utf-8"))

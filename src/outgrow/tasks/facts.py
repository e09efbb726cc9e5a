"""The world of facts as a task: questions, answers in the wanted style, content and concept scored exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows
from outgrow.tasks.presets import with_defaults
from outgrow.worlds.facts import World, score


@dataclass
class Facts:
    """`task: {name: facts, path: …}`: a folder that `outgrow.worlds.facts.build` has made.

    One row: `{"id": "drink-mira", "prompt": "What does Mira drink?", "gold": "Arr, cocoa, matey!", "part": "test"}`.
    """

    metrics: ClassVar[tuple[str, ...]] = ("content", "concept")
    _world: World | None = field(default=None, init=False)

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        folder = Path(config.path)
        description = folder / "world.json"
        if not description.is_file():
            raise DataError(
                f"There is no world of facts in {folder}.",
                wanted="world.json and rows.jsonl.gz",
                fix="Make one with `outgrow demo`, or with outgrow.worlds.facts.build.",
            )
        self._world = World.from_json(description.read_text(encoding="utf-8"))
        columns = {"prompt": "prompt", "gold": "gold", "id": "id", "part": "part"}
        config = config.model_copy(update={"path": str(folder / "rows.jsonl.gz")})
        return read_rows(with_defaults(config, columns=columns))

    def score(self, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """`content` and `concept` of every answer."""
        if self._world is None:
            raise DataError("The world of facts is not known yet.", fix="Call read first.")
        return score(self._world, rows.prompts, answers)

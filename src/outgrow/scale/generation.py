"""A language model whose answers are kept in shards while they are generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from outgrow.labels import Completion, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.progress import Reporter
from outgrow.scale.local import map_shards

SHARD_ROWS = 256
"""Prompts between two savings: what a killed run may have to generate again."""


@dataclass(frozen=True)
class ShardedLanguageModel:
    """Generates with another model and keeps every finished shard in a folder.

    Made for one kind of call: the folder must belong to exactly one list of prompts and one set of options.
    """

    model: LanguageModel
    """Who answers."""
    folder: Path
    """Where the shards are."""
    reporter: Reporter
    """Told of every finished prompt."""
    step: str
    """What the step is called."""

    @property
    def name(self) -> str:
        """The name of the model that answers."""
        return self.model.name

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Continues every prompt, shard by shard; see `LanguageModel.generate`."""

        def work(piece: Sequence[str]) -> pa.Table:
            texts = tuple((tuple(row),) for row in self.model.generate(piece, options))
            return TextLabels(tuple(piece), (self.name,), texts).to_arrow()

        table = map_shards(work, prompts, self.folder, shard_size=SHARD_ROWS, reporter=self.reporter, name=self.step)
        return [list(row[0]) for row in TextLabels.from_arrow(table).texts]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[Completion]:
        """Scores pairs; not kept."""
        return self.model.logprobs(pairs)

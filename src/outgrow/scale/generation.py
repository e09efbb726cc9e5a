"""A language model whose answers are kept in shards while they are generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.labels import Completion, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, TooLong, embed, fits
from outgrow.progress import Reporter
from outgrow.scale.local import map_shards
from outgrow.store import content_hash

Item = TypeVar("Item")

SHARD_ROWS = 256
"""Prompts between two savings: what a killed run may have to generate again."""


@dataclass(frozen=True)
class ShardedLanguageModel:
    """Generates or scores with another model and keeps every finished shard in a folder.

    Every call has a folder of its own in there, named after what is asked and how; the folder itself must belong to one
    model.
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
            return self._table(piece, self.model.generate(piece, options))

        return self._kept(work, prompts, options.to_json())

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Scores pairs, shard by shard; see `LanguageModel.logprobs`."""

        def work(piece: Sequence[tuple[str, str]]) -> pa.Table:
            scored = self.model.logprobs(piece, end=end, too_long=too_long)
            return self._table([prompt for prompt, _ in piece], [[one] for one in scored])

        return [one for [one] in self._kept(work, pairs, {"end": end, "too_long": too_long})]

    def fits(self, prompts: Sequence[str], new_tokens: int) -> list[bool]:
        """Whether each prompt leaves room for so many tokens; see `outgrow.models.protocols.fits`."""
        return fits(self.model, prompts, new_tokens)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Points of texts; not kept. See `outgrow.models.protocols.embed`."""
        return embed(self.model, texts)

    def _table(self, prompts: Sequence[str], answers: Sequence[Sequence[Completion]]) -> pa.Table:
        return TextLabels(tuple(prompts), (self.name,), tuple((tuple(row),) for row in answers)).to_arrow()

    def _kept(
        self, work: Callable[[Sequence[Item]], pa.Table], items: Sequence[Item], asked: Mapping[str, Any]
    ) -> list[list[Completion]]:
        if not items:
            return []
        call = content_hash([[list(one) if isinstance(one, tuple) else one for one in items], dict(asked)])
        folder = self.folder / f"call-{call[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        table = map_shards(work, items, folder, shard_size=SHARD_ROWS, reporter=self.reporter, name=self.step)
        return [list(row[0]) for row in TextLabels.from_arrow(table).texts]

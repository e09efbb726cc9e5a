"""Features of the frozen strong model: computed once, shared by every probe and every relabeller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from torch import Tensor

from outgrow.config import weights_of
from outgrow.labels import Rows
from outgrow.models.classifier import Encoder, by_length, default_pooling, embed
from outgrow.models.loading import load_encoder, model_identity, short_name
from outgrow.run import Run
from outgrow.train.learners import Trainable, blank_matrix, in_shards, matrix_table, prompts_hash, read_matrix


@dataclass(frozen=True)
class FrozenFeatures:
    """Pooled last states of a pretrained network, kept in the store."""

    model: str
    """A folder or hub id."""
    max_length: int | None
    """Cut prompts to so many tokens."""
    batch_size: int
    """Rows at once when embedding."""
    _cached: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, config: Trainable) -> FrozenFeatures:
        """Those of the model that an experiment file describes."""
        return cls(weights_of(config.model), config.max_length, config.batch_size)

    def about(self) -> dict[str, object]:
        """What they depend on but for the rows, for a recipe."""
        return {"model": model_identity(self.model), "max_length": self.max_length}

    def __call__(self, rows: Rows, run: Run) -> Tensor:
        """Features (N, D) of rows; read once, since every student asks for them."""
        prompts = prompts_hash(rows)
        if prompts in self._cached:
            return self._cached[prompts]

        def make(folder: Path) -> None:
            network = load_encoder(self.model)
            encoder = Encoder.load(self.model, network, max_length=self.max_length)
            pooling = default_pooling(network)

            def work(prompts: Sequence[str]) -> pa.Table:
                return matrix_table(
                    by_length(
                        lambda **batch: embed(network, batch, pooling), encoder, prompts, batch_size=self.batch_size
                    )
                )

            in_shards(work, rows, folder, run, name=f"embed with {short_name(self.model)}")

        self._cached[prompts] = read_matrix(
            run.stage("features", {**self.about(), "prompts": prompts}, make, blank=blank_matrix(len(rows), 1))
        )
        return self._cached[prompts]

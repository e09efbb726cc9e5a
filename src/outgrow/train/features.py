"""Matrices that a model computes from prompts, kept in the store; such as the features of the frozen strong model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from outgrow import ranks
from outgrow._lazy import torch
from outgrow.config import HERE, Choice, Local, ModelName, weights_of
from outgrow.files import replacing
from outgrow.integrity import is_sealed, seal_file
from outgrow.labels import Rows, positions
from outgrow.labels.columns import mapped_array
from outgrow.models.loading import load_encoder, short_name, weights_identity
from outgrow.models.planning import Work
from outgrow.run import Run
from outgrow.scale.local import map_shards
from outgrow.train.targets import prompts_hash

if TYPE_CHECKING:
    from torch import Tensor

SHARD_ROWS = 1024
"""Rows per shard; an interrupted run computes at most one shard again."""
MATRIX = "matrix.npy"
"""The file of a whole matrix, fp32."""


@dataclass
class Batched:
    """A function of texts with the number of texts at once."""

    function: Callable[..., Tensor]
    """Called with texts and `batch_size`."""
    batch_size: int
    """Texts at once."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the matrix (n, D) of n texts."""
        return self.function(texts, batch_size=self.batch_size)


class TrainedSection(Protocol):
    """A section of an experiment file with a model that is trained here: the strong model, or a supervisor."""

    model: ModelName
    adapter: Choice
    max_length: int | None
    batch_size: int
    early_stopping: int | None

    @property
    def local(self) -> Local:
        """Device, precision and chat."""


def prompt_matrix(
    kind: str,
    recipe: Mapping[str, Any],
    load: Callable[[], Batched],
    rows: Rows,
    run: Run,
    *,
    seen: Callable[[], Any],
    name: str,
    columns: int,
    reads: Callable[[Sequence[str]], Work],
) -> Tensor:
    """Return a matrix (N, D), or (N, K, D) for rows with K choices of their own; see `Rows.texts`.

    Every part is found in the store if it was computed before, together with whatever other parts.

    Args:
        kind: Kind of the artefact.
        recipe: What the matrix depends on, apart from the texts.
        load: Loads the model. Load and `seen` can be pickled, since workers may be other processes.
        rows: N rows.
        run: Store, executor and progress.
        seen: Identity of the model; see `Executor.open`.
        name: Name of the step in progress reports.
        columns: D of the zeros that stand for the matrix in a dry run.
        reads: What computing it from texts takes, for an estimate.
    """
    with run.executor.open(load, seen=seen, say=run.reporter.note) as apply:
        parts = [rows.part(part) for part in dict.fromkeys(rows.parts)] or [rows]
        made = partial(apply, _values)
        found = [_matrix(kind, recipe, made, part, run, name, columns, reads) for part in parts]
    if len(found) == 1:
        return found[0]
    return torch.cat(found)[positions([row for part in parts for row in part.ids], rows.ids)]


def _matrix(
    kind: str,
    recipe: Mapping[str, Any],
    made: Callable[..., Any],
    rows: Rows,
    run: Run,
    name: str,
    columns: int,
    reads: Callable[[Sequence[str]], Work],
) -> Tensor:
    # Of rows of one part.
    def make(folder: Path) -> None:
        if is_sealed(folder / MATRIX):  # killed before the manifest was written
            return
        shards = map_shards(made, rows.texts, folder, shard_size=SHARD_ROWS, reporter=run.reporter, name=name)
        if ranks.first():
            _join(shards, folder, len(rows.texts))

    def blank(folder: Path) -> None:
        _join([_table(torch.zeros(len(rows.texts), columns))], folder, len(rows.texts))

    recipe, together = {**recipe, "prompts": prompts_hash(rows), "file": MATRIX}, run.executor.together
    artefact = run.stage(kind, recipe, make, blank=blank, together=together, work=lambda: reads(rows.texts))
    matrix = torch.from_numpy(mapped_array(artefact.path / MATRIX))
    return matrix if rows.options is None else matrix.reshape(len(rows), -1, matrix.shape[1])


@dataclass(frozen=True)
class FrozenFeatures:
    """Pooled last hidden states of a pretrained network, shared by all probes and refiners."""

    model: str
    """A folder or hub id."""
    max_length: int | None
    """Cut prompts to this many tokens."""
    batch_size: int
    """Rows per batch when embedding."""
    local: Local = HERE
    """Device and precision."""
    _cached: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, config: TrainedSection) -> FrozenFeatures:
        """Return the features of the model in a section of an experiment file."""
        return cls(weights_of(config.model), config.max_length, config.batch_size, config.local)

    def recipe(self) -> dict[str, object]:
        """Return what the features depend on, apart from the rows."""
        return {"model": weights_identity(self.model, self.local), "max_length": self.max_length}

    def __call__(self, rows: Rows, run: Run) -> Tensor:
        """Return features (N, D) of rows, or (N, K, D) of their pairs of prompt and choice.

        They are read from the store once, since every student uses them.
        """
        prompts = prompts_hash(rows)
        if prompts not in self._cached:
            name = f"embed with {short_name(self.model)}"
            how = self.model, self.local
            self._cached[prompts] = prompt_matrix(
                "features", self.recipe(), partial(_states, *how, self.max_length, self.batch_size), rows, run,
                seen=partial(weights_identity, *how), name=name, columns=1, reads=self.reads,
            )  # fmt: skip
        return self._cached[prompts]

    def reads(self, texts: Sequence[str]) -> Work:
        """Return what the features of texts take, for an estimate."""
        return Work(self.model, texts, self.batch_size, self.local, head=False, limit=self.max_length)


def _states(model: str, local: Local, max_length: int | None, batch_size: int) -> Batched:
    from outgrow.models.classifier import Encoder, by_length, default_pooling, embed

    network = load_encoder(model, local)
    encoder, pooling = Encoder.load(model, network, max_length=max_length), default_pooling(network)

    def states(**batch: Tensor) -> Tensor:
        return embed(network, batch, pooling)

    return Batched(partial(by_length, states, network, encoder), batch_size)


def _values(compute: Batched, prompts: Sequence[str]) -> pa.Table:
    return _table(compute(prompts))


def _join(shards: Iterable[pa.Table], folder: Path, rows: int) -> None:
    """Write the matrix of all shards as one file that can be mapped, and delete theirs."""
    with replacing(folder / MATRIX) as temporary, temporary.open("wb") as file:
        for number, shard in enumerate(shards):
            values = shard["values"].combine_chunks()
            if not number:
                about = {"descr": "<f4", "fortran_order": False, "shape": (rows, values.type.list_size)}
                np.lib.format.write_array_header_1_0(file, about)
            file.write(values.flatten().to_numpy().astype("<f4").tobytes())
    seal_file(folder / MATRIX)
    for shard in folder.glob("part-*.parquet"):
        shard.unlink()


def _table(matrix: Tensor) -> pa.Table:
    flat = pa.array(matrix.contiguous().numpy().reshape(-1), pa.float32())
    return pa.table({"values": pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])})

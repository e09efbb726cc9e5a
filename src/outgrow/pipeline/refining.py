"""Refinement of a text task's weak labels by the untouched strong model, kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outgrow.config import Named, Strong
from outgrow.labels import Rows, TextLabels
from outgrow.models.loading import model_identity
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.refine.refinement import Refinement, Refiner
from outgrow.refine.relabelling import check_refine
from outgrow.registry import create
from outgrow.scale.generation import ShardedLanguageModel
from outgrow.store import read_table, table_hash, write_table
from outgrow.workspace import Workspace


def make_refiner(refine: Named, defaults: Mapping[str, Any]) -> Refiner:
    """The refiner that a configuration names.

    Args:
        refine: Its name and parameters.
        defaults: Parameters that hold where the configuration says nothing.

    Raises:
        ConfigError: It is for choice tasks, does not exist, or refuses its parameters.
    """
    check_refine(refine, "refiner")
    refiner: Refiner = create("refiner", refine.name, {**defaults, **refine.params})
    return refiner


def refined(
    refine: Named,
    refiner: Refiner,
    strong: Strong,
    rows: Rows,
    labels: TextLabels,
    options: GenerateOptions,
    workspace: Workspace,
    *,
    seed: int,
    name: str,
) -> Refinement:
    """What a refiner makes of weak labels; found in the store if it was done before.

    Args:
        refine: The refiner's name and parameters as configured.
        refiner: What `make_refiner` made of them.
        strong: The model that labels the rows again, untrained.
        rows: The rows.
        labels: What the supervisors wrote for them.
        options: How the model generates.
        workspace: Store and reporter.
        seed: Seed of whatever is drawn.
        name: What the step is called.
    """

    def make(folder: Path) -> None:
        answering = LocalLanguageModel.load(strong.model, batch_size=strong.batch_size)
        kept = ShardedLanguageModel(answering, folder, workspace.reporter, name)
        write_table(folder / "texts.parquet", refiner(rows, labels, kept, options=options, seed=seed).to_arrow())

    recipe = {
        "model": model_identity(strong.model),
        "refiner": {"name": refine.name, **vars(refiner)},
        "labels": table_hash(labels.to_arrow()),
        "rows": table_hash(rows.to_arrow()),
        "options": options.to_json(),
        "seed": seed,
    }
    return Refinement.from_arrow(read_table(workspace.get("refined", recipe, make).path / "texts.parquet"))

"""Refinement of a text task's weak labels by the untouched strong model, kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outgrow.config import Named
from outgrow.identity import identity
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.refinement import Refinement, Refiner
from outgrow.refine.relabelling import check_refine
from outgrow.registry import create
from outgrow.store import read_table, table_hash, write_table
from outgrow.supervisors.respondents import Respondent, answered
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
    refiner: Refiner,
    strong: Respondent,
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
        refiner: What `make_refiner` made of the configuration.
        strong: The model that labels the rows again, untrained.
        rows: The rows.
        labels: What the supervisors wrote for them.
        options: How the model generates.
        workspace: Store and reporter.
        seed: Seed of whatever is drawn.
        name: What the step is called.
    """

    def make(model: LanguageModel, folder: Path) -> None:
        write_table(folder / "texts.parquet", refiner(rows, labels, model, options=options, seed=seed).to_arrow())

    recipe = {
        "refiner": identity(refiner),
        "labels": table_hash(labels.to_arrow()),
        "rows": table_hash(rows.to_arrow()),
        "options": options.to_json(),
        "seed": seed,
    }
    found = answered(strong, "refined", recipe, workspace, make, step=name)
    return Refinement.from_arrow(read_table(found / "texts.parquet"))

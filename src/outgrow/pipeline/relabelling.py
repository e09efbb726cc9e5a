"""Relabelling of a choice task's combined targets by the untouched strong model, kept in the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import Named, Strong
from outgrow.errors import ConfigError
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.models.loading import is_masked_lm, model_identity
from outgrow.models.local import LocalLanguageModel
from outgrow.pipeline.auditing import audited_choices
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.refine.relabelling import Relabeller, make_relabeller
from outgrow.scale.generation import ShardedLanguageModel
from outgrow.store import read_json, read_table, table_hash, write_json, write_table
from outgrow.train.features import FrozenFeatures
from outgrow.train.learners import learned_hashes, rows_of
from outgrow.workspace import Workspace


def check_relabelling(refine: Named, strong: Strong) -> None:
    """Refuses what cannot work before anything is computed.

    Raises:
        ConfigError: A parameter is wrong, or choices are to be judged by a model that continues no text.
    """
    if isinstance(make_relabeller(refine), ChoiceICL) and is_masked_lm(strong.model):
        raise ConfigError(
            f"`refine: {refine.name}` of a choice task needs a causal language model.",
            found=f"{strong.model}, an encoder",
            fix="Use `neighbours` or `linear`, which relabel from an encoder's features.",
        )


def relabelled(
    refine: Named, strong: Strong, targets: ChoiceTargets, rows: Rows, workspace: Workspace, *, seed: int, name: str
) -> tuple[ChoiceTargets, ChoiceAudit, list[str]]:
    """What a relabeller makes of targets about some of `rows`; found in the store if it was done before.

    Args:
        refine: The relabeller's name and parameters.
        strong: The model whose features or judgements it uses, untrained.
        targets: The combined weak labels.
        rows: The unlabelled and the test rows.
        workspace: Store and reporter.
        seed: Seed of whatever is drawn.
        name: What the step is called.

    Returns:
        The new targets, what is to be said of them before they are learnt, and what a reader should know.
    """
    relabeller = make_relabeller(refine)
    if not isinstance(relabeller, ChoiceICL):
        new = _by_features(relabeller, strong, targets, rows, workspace, seed=seed, name=name)
        return new, audited_choices(rows, targets, new, None), []
    new, remarks = _by_judgement(relabeller, strong, targets, rows_of(rows, targets), workspace, seed=seed, name=name)

    def base(sample: Rows) -> NDArray[np.float64]:
        return _judged(relabeller, strong, sample, workspace, name=f"base for {name}")

    return new, audited_choices(rows, targets, new, base), remarks


def _judged(
    relabeller: ChoiceICL, strong: Strong, rows: Rows, workspace: Workspace, *, name: str
) -> NDArray[np.float64]:
    """The untouched strong model's own distributions, shape (N, K)."""

    def make(folder: Path) -> None:
        judging = LocalLanguageModel.load(strong.model, batch_size=strong.batch_size)
        probs = relabeller.base(rows, ShardedLanguageModel(judging, folder, workspace.reporter, name))
        write_table(folder / "probs.parquet", pa.table({"id": rows.ids, "probs": probs.tolist()}))

    recipe = {
        "model": model_identity(strong.model),
        "query": relabeller.query,
        "content_free": relabeller.content_free,
        "normalise": relabeller.normalise,
        "rows": table_hash(rows.to_arrow()),
    }
    table = read_table(workspace.get("scores", recipe, make).path / "probs.parquet")
    return np.array(table["probs"].to_pylist(), dtype=np.float64)


def _by_features(
    relabeller: Relabeller,
    strong: Strong,
    targets: ChoiceTargets,
    rows: Rows,
    workspace: Workspace,
    *,
    seed: int,
    name: str,
) -> ChoiceTargets:
    features = FrozenFeatures.of(strong)

    def make(folder: Path) -> None:
        seen = features(rows, workspace)[positions(rows.ids, targets.ids)]
        with workspace.reporter.step(name, total=1) as step:
            write_table(folder / "targets.parquet", relabeller(seen.numpy(), targets, seed=seed).to_arrow())
            step.advance()

    recipe = {
        **features.about(),
        "relabeller": identity(relabeller),
        **learned_hashes(rows_of(rows, targets), targets),
        "seed": seed,
    }
    return ChoiceTargets.from_arrow(read_table(workspace.get("refined", recipe, make).path / "targets.parquet"))


def _by_judgement(
    relabeller: ChoiceICL,
    strong: Strong,
    targets: ChoiceTargets,
    own: Rows,
    workspace: Workspace,
    *,
    seed: int,
    name: str,
) -> tuple[ChoiceTargets, list[str]]:
    def make(folder: Path) -> None:
        judging = LocalLanguageModel.load(strong.model, batch_size=strong.batch_size)
        kept = ShardedLanguageModel(judging, folder, workspace.reporter, name)
        refined = relabeller(own, targets, kept, seed=seed)
        write_json(folder / "remarks.json", refined.remarks())
        write_table(folder / "targets.parquet", refined.targets.to_arrow())

    recipe = {
        "model": model_identity(strong.model),
        "relabeller": identity(relabeller),
        "rows": table_hash(own.to_arrow()),
        "targets": table_hash(targets.to_arrow()),
        "seed": seed,
    }
    found = workspace.get("refined", recipe, make).path
    return ChoiceTargets.from_arrow(read_table(found / "targets.parquet")), list(read_json(found / "remarks.json"))

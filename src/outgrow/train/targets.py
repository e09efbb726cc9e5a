"""What a student of a choice task learns: its rows, its targets and its objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from outgrow.config import Named
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.registry import create
from outgrow.store import table_hash

if TYPE_CHECKING:
    from torch import Tensor

    from outgrow.objectives import Objective


def gold_targets(rows: Rows) -> ChoiceTargets:
    """Return targets that put all probability on the gold answer."""
    probs = np.eye(len(rows.choices or ()))[rows.gold_indices()]
    return ChoiceTargets(rows.ids, probs, np.ones(len(rows)))


def rows_of(rows: Rows, targets: ChoiceTargets) -> Rows:
    """Return the rows of targets, in the targets' order."""
    return rows.take(positions(rows.ids, targets.ids))


def make_objective(config: Named) -> Objective:
    """Create the objective of a choice task."""
    objective: Objective = create("objective", config.name, config.params)
    return objective


def target_tensors(targets: ChoiceTargets) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the targets (N, K), or the votes (N, M, K) where there are any, row weights (N,) and λ (M,) as fp32."""
    import torch

    values = targets.probs if targets.votes is None else targets.votes
    goals, weights = (torch.from_numpy(each.astype(np.float32)) for each in (values, targets.weights))
    return goals, weights, None if targets.lambdas is None else torch.tensor(targets.lambdas, dtype=torch.float32)


def training_hashes(rows: Rows, targets: ChoiceTargets) -> dict[str, str]:
    """Return the part of a student's recipe that identifies its training data."""
    return {"prompts": prompts_hash(rows), "targets": table_hash(targets.to_arrow())}


def prompts_hash(rows: Rows) -> str:
    """Return a hash of the prompts, or of the pairs of prompt and choice, in order."""
    return table_hash(pa.table({"prompt": pa.array(rows.texts, pa.string())}))

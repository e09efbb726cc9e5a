"""Supervisors that are scikit-learn pipelines, trained on gold rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Choice
from outgrow.identity import identity
from outgrow.labels import ChoiceVotes, Rows
from outgrow.labels.columns import in_batches
from outgrow.registry import create
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.gold import Trained, judged_rows, made_up_votes, training_rows


class FeaturesSupervisor(Trained):
    """A scikit-learn text pipeline, trained on the gold part: `{features: tfidf, rows: 1000}`.

    Where every row has its own choices, it learns whether a choice behind its prompt is right; see `among_choices`.
    """

    features: Choice
    """The pipeline's name and parameters."""

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Train on gold rows and vote on the others; see `Supervisor.vote`."""
        name = self.name or self.features.name
        pipeline = create("features", self.features.name, self.features.params)
        gold = training_rows(rows, self.rows, seed=seed, name=name)
        judged = judged_rows(rows)

        def make(folder: Path) -> ChoiceVotes:
            with run.reporter.step(f"label with {name}, seed {seed}", total=len(judged)) as step:
                classes, labels = len(rows.choices or ()), gold.gold_indices()
                if rows.options is None:
                    fitted = pipeline.fit(gold.prompts, labels, classes, seed=seed)
                    probs = in_batches(fitted.predict_proba, judged.prompts)
                else:
                    right = np.eye(classes, dtype=np.int64)[labels].reshape(-1)
                    fitted = pipeline.fit(gold.texts, right, 2, seed=seed)
                    found = in_batches(fitted.predict_proba, judged.texts)
                    probs = among_choices(np.asarray(found)[:, 1].reshape(-1, classes))
                step.advance(len(judged))
            return ChoiceVotes(judged.ids, (name,), np.asarray(probs, dtype=np.float64)[:, None, :])

        recipe = {
            "features": identity(pipeline),
            "name": name,
            "seed": seed,
            "gold": table_hash(gold.to_arrow()),
            "rows": table_hash(judged.to_arrow()),
        }
        return run.stage("labels", recipe, make, ChoiceVotes, blank=lambda _: made_up_votes(judged, name))


def among_choices(right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distributions over K choices from the probability that each alone is right, both of shape (N, K).

    The softmax of log odds: exact if exactly one choice is right and they are otherwise independent.

    Example:
        >>> among_choices(np.array([[0.5, 0.8]])).round(3).tolist()
        [[0.2, 0.8]]
    """
    clipped = np.clip(right, 1e-12, 1 - 1e-12)
    odds = clipped / (1 - clipped)
    shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares

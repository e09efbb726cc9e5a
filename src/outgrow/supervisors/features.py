"""Supervisors that are scikit-learn pipelines, trained on gold rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from outgrow.config import Choice
from outgrow.identity import identity
from outgrow.labels import ChoiceVotes, Rows
from outgrow.registry import create
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.gold import Trained, judged_rows, made_up_votes, training_rows


class FeaturesSupervisor(Trained):
    """A scikit-learn text pipeline, trained on the gold part: `{features: tfidf, rows: 1000}`."""

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
                classes = len(rows.choices or ())
                classifier = pipeline.fit(gold.prompts, gold.gold_indices(), classes, seed=seed)
                probs = classifier.predict_proba(judged.prompts)[:, None, :]
                step.advance(len(judged))
            return ChoiceVotes(judged.ids, (name,), np.asarray(probs, dtype=np.float64))

        recipe = {
            "features": identity(pipeline),
            "name": name,
            "seed": seed,
            "gold": table_hash(gold.to_arrow()),
            "rows": table_hash(judged.to_arrow()),
        }
        return run.stage("labels", recipe, make, ChoiceVotes, blank=lambda _: made_up_votes(judged, name))

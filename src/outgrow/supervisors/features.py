"""Supervisors that are scikit-learn pipelines, trained on gold rows on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outgrow.config import FeaturesSupervisor
from outgrow.identity import identity
from outgrow.labels import ChoiceVotes, Rows
from outgrow.registry import create
from outgrow.store import read_table, table_hash, write_table
from outgrow.supervisors.gold import judged_rows, training_rows
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class FeaturesLabeller:
    """`{features: tfidf, rows: 1000}`."""

    config: FeaturesSupervisor
    """The line of the experiment file."""

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Trains on gold rows and votes on the rest (see `ChoiceSupervisor.label`)."""
        features = self.config.features
        name = self.config.name or features.name
        pipeline = create("features", features.name, features.params)
        gold = training_rows(rows, self.config.rows, seed=seed, name=name)
        judged = judged_rows(rows)

        def make(folder: Path) -> None:
            with workspace.reporter.step(f"label with {name}, seed {seed}", total=len(judged)) as step:
                classes = len(rows.choices or ())
                classifier = pipeline.fit(gold.prompts, gold.gold_indices(), classes, seed=seed)
                probs = classifier.predict_proba(judged.prompts)[:, None, :]
                write_table(folder / "votes.parquet", ChoiceVotes(judged.ids, (name,), probs).to_arrow())
                step.advance(len(judged))

        recipe = {
            "supervisor": {"features": identity(pipeline), "name": name, "seed": seed},
            "gold": table_hash(gold.to_arrow()),
            "rows": table_hash(judged.to_arrow()),
        }
        return ChoiceVotes.from_arrow(read_table(workspace.get("labels", recipe, make).path / "votes.parquet"))

"""The way of a choice task's method: from votes to targets, and from targets to what its student predicts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outgrow.combine.filtering import surest
from outgrow.combine.mean import Mean
from outgrow.config import ExperimentConfig, Filter, Named
from outgrow.labels import ChoiceTargets, ChoiceVotes, Rows, positions
from outgrow.objectives import Objective
from outgrow.refine.relabelling import make_relabeller
from outgrow.registry import create
from outgrow.store import read_table, write_table
from outgrow.train.chain import Link
from outgrow.train.features import FrozenFeatures
from outgrow.train.learners import ChoiceLearner, Outlook, learned_hashes, outlook_of, rows_of
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class ChoiceMethod:
    """A line under `methods` with every part made, so that what is misspelt is said before anything is computed."""

    name: str
    """What the experiment calls it."""
    combiner: Any
    """Votes to targets."""
    objective: Named
    """What the student minimises."""
    learner: ChoiceLearner
    """Trains the strong model."""
    features: FrozenFeatures
    """What the untrained strong model sees in a row."""
    filter: Filter | None = None
    """Which rows teach; None for all."""
    refine: Named | None = None
    """How the strong model relabels rows before it learns; None if it does not."""
    chain: tuple[Link, ...] = ()
    """Models between the supervisors and the strong one."""

    @classmethod
    def of(cls, name: str, config: ExperimentConfig, learner: ChoiceLearner) -> ChoiceMethod:
        """The method of this name in an experiment file.

        Raises:
            ConfigError: A name or a parameter is wrong, or the method cannot be used for a choice task.
        """
        settings = config.methods[name]
        create("objective", settings.objective.name, settings.objective.params)
        if settings.refine is not None:
            make_relabeller(settings.refine)
        return cls(
            name,
            create("combiner", settings.combine.name, settings.combine.params),
            settings.objective,
            learner,
            FrozenFeatures.of(config.strong),
            settings.filter,
            settings.refine,
            tuple(Link.of(each, config.trainer) for each in settings.chain),
        )

    def combined(self, votes: ChoiceVotes) -> ChoiceTargets:
        """One target per row that has a usable vote; with every vote beside it where the objective learns from each."""
        targets: ChoiceTargets = self.combiner(votes)
        objective: Objective = create("objective", self.objective.name, self.objective.params)
        if not objective.takes_votes or not isinstance(self.combiner, Mean):
            # A posterior is one opinion: whoever estimated it has already weighed every vote.
            return targets
        lambdas = self.combiner.lambdas(votes.supervisors, votes)
        kept = votes.take(positions(votes.ids, targets.ids)).probs
        return dataclasses.replace(targets, votes=kept, lambdas=lambdas)

    def student(self, targets: ChoiceTargets, rows: Rows, workspace: Workspace, *, seed: int) -> Outlook:
        """What the strong model predicts once it has learnt the combined targets.

        Args:
            targets: See `combined`.
            rows: The unlabelled and the test rows, N of them.
            workspace: Store and reporter.
            seed: Training seed.
        """
        step = f"{self.name}, seed {seed}"
        if self.filter is not None:
            targets = surest(targets, self.filter.keep, per_class=self.filter.per_class, seed=seed)
        if self.refine is not None:
            targets = self._relabelled(targets, self.refine, rows, workspace, seed)
        for link in self.chain:
            targets = link.relabel(
                targets, rows.part("unlabelled"), self.objective, workspace, seed=seed, name=f"relabel for {step}"
            )
        return outlook_of(self.learner, targets, self.objective, rows, workspace, seed=seed, name=step)

    def _relabelled(
        self, targets: ChoiceTargets, refine: Named, rows: Rows, workspace: Workspace, seed: int
    ) -> ChoiceTargets:
        relabeller = make_relabeller(refine)

        def make(folder: Path) -> None:
            seen = self.features(rows, workspace)[positions(rows.ids, targets.ids)]
            with workspace.reporter.step(f"refine for {self.name}, seed {seed}", total=1) as step:
                refined = relabeller(seen.numpy(), targets, seed=seed)
                write_table(folder / "targets.parquet", refined.to_arrow())
                step.advance()

        recipe = {
            **self.features.about(),
            "relabeller": {"name": refine.name, **vars(relabeller)},
            **learned_hashes(rows_of(rows, targets), targets),
            "seed": seed,
        }
        return ChoiceTargets.from_arrow(read_table(workspace.get("refined", recipe, make).path / "targets.parquet"))

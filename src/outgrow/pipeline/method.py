"""The way of a choice task's method: from votes to targets, and from targets to what its student predicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outgrow.combine.filtering import surest
from outgrow.config import ExperimentConfig, Filter, Named
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.pipeline.combination import Combination
from outgrow.refine.relabelling import make_relabeller
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
    combined: Combination
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
    def of(cls, name: str, config: ExperimentConfig, rows: Rows, learner: ChoiceLearner) -> ChoiceMethod:
        """The method of this name in an experiment file.

        Args:
            name: What the experiment calls it.
            config: The experiment.
            rows: All rows of the task.
            learner: Trains the strong model.

        Raises:
            ConfigError: A name or a parameter is wrong, or the method cannot be used for a choice task.
        """
        settings = config.methods[name]
        if settings.refine is not None:
            make_relabeller(settings.refine)
        return cls(
            name,
            Combination.of(name, settings, rows),
            settings.objective,
            learner,
            FrozenFeatures.of(config.strong),
            settings.filter,
            settings.refine,
            tuple(Link.of(each, config.trainer) for each in settings.chain),
        )

    def student(self, targets: ChoiceTargets, rows: Rows, workspace: Workspace, *, seed: int) -> Outlook:
        """What the strong model predicts once it has learnt the combined targets.

        Args:
            targets: What `combined` returned.
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

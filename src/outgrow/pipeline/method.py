"""The way of a choice task's method: from votes to targets, and from targets to what its student predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outgrow.combine.filtering import surest
from outgrow.config import ExperimentConfig, Method, Pretune, Strong
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.pipeline.auditing import tell
from outgrow.pipeline.combination import Combination
from outgrow.pipeline.relabelling import check_relabelling, relabelled
from outgrow.train.chain import Link
from outgrow.train.learners import ChoiceLearner, Outlook, choice_learner, make_objective, outlook_of
from outgrow.workspace import Workspace

if TYPE_CHECKING:
    from outgrow.train.pretune import Pretuner


@dataclass(frozen=True)
class ChoiceMethod:
    """A line under `methods` with every part made, so that what is misspelt is said before anything is computed."""

    name: str
    """What the experiment calls it."""
    config: ExperimentConfig
    """The experiment."""
    combined: Combination
    """Votes to targets."""
    learner: ChoiceLearner
    """Trains the strong model as it is."""
    pretuner: Pretuner | None
    """Language modelling that comes first; None for none."""
    chain: tuple[Link, ...]
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
        if settings.prefer is not None:
            raise ConfigError(f"methods.{name}: `prefer` is for text tasks, and {config.task.name} is a choice task.")
        if settings.refine is not None:
            check_relabelling(settings.refine, config.trained)
        pretuner = None if settings.pretune is None else make_pretuner(config.trained, settings.pretune)
        chain = tuple(Link.of(each, config.trainer) for each in settings.chain)
        return cls(name, config, Combination.of(name, settings, rows), learner, pretuner, chain)

    @property
    def settings(self) -> Method:
        """What the experiment file says of it."""
        return self.config.methods[self.name]

    def student(
        self,
        targets: ChoiceTargets,
        rows: Rows,
        workspace: Workspace,
        *,
        seed: int,
        note: Callable[[str], None],
        audits: list[dict[str, Any]],
    ) -> Outlook:
        """What the strong model predicts once it has learnt the combined targets.

        Args:
            targets: What `combined` returned.
            rows: The unlabelled and the test rows, N of them.
            workspace: Store and reporter.
            seed: Training seed.
            note: Told what a reader of the results should know.
            audits: Gets what a refinement did.
        """
        step, unlabelled = f"{self.name}, seed {seed}", rows.part("unlabelled")
        strong, learner, objective = self.config.trained, self.learner, self.settings.objective
        if self.pretuner is not None:
            model = self.pretuner(unlabelled, workspace, seed=seed, name=f"pretune for {step}")
            strong = strong.model_copy(update={"model": str(model)})
            learner = choice_learner(strong, self.config.trainer)
        if self.settings.filter is not None:
            targets = surest(targets, **self.settings.filter.model_dump(), seed=seed)
        if self.settings.refine is not None:
            name = f"refine for {step}"
            found = relabelled(self.settings.refine, strong, targets, rows, workspace, seed=seed, name=name)
            targets, checked, remarks = found
            for remark in remarks:
                note(f"{self.name} (seed {seed}): {remark}")
            tell(checked, self.name, seed, audits, workspace, note)
            if not make_objective(objective).takes_votes:
                targets = dataclasses.replace(targets, votes=None, lambdas=None)
        for link in self.chain:
            name = f"relabel for {step}"
            targets = link.relabel(targets, unlabelled, objective, workspace, seed=seed, name=name)
        return outlook_of(learner, targets, objective, rows, workspace, seed=seed, name=step)


def make_pretuner(strong: Strong, settings: Pretune) -> Pretuner:
    """The pretuner that an experiment file describes; imported here, as the Trainer takes seconds to import."""
    from outgrow.train.pretune import Pretuner

    return Pretuner(strong.model, strong.max_length, settings)

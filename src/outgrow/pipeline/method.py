"""The way of a choice task's method: from votes to targets, and from targets to what its student predicts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outgrow.combine.targets import surest
from outgrow.config import ExperimentConfig, Method, Pretune, ServerStrong, Strong, StrongModel, weights_of
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.pipeline.combination import Combination
from outgrow.pipeline.refining import check_choice_refiner, refined_choices
from outgrow.pipeline.tuning import check_untrained
from outgrow.run import Run
from outgrow.train.learners import (
    IntermediateModel,
    PredictedChoices,
    choice_learner,
    train_and_predict,
)
from outgrow.train.targets import make_objective

if TYPE_CHECKING:
    from outgrow.train.pretraining import ContinuedPretraining


@dataclass(frozen=True)
class ChoiceMethod:
    """A line under `methods` with every part made, so that what is misspelt is said before anything is computed."""

    name: str
    """What the experiment calls it."""
    config: ExperimentConfig
    """The experiment."""
    combined: Combination
    """Votes to targets."""
    pretraining: ContinuedPretraining | None
    """Language modelling on the prompts, before the student is trained."""
    chain: tuple[IntermediateModel, ...]
    """Models between the supervisors and the strong one."""

    @classmethod
    def of(cls, name: str, config: ExperimentConfig, rows: Rows) -> ChoiceMethod:
        """The method of this name in an experiment file.

        Args:
            name: What the experiment calls it.
            config: The experiment.
            rows: All rows of the task.

        Raises:
            ConfigError: A name or a parameter is wrong, or the method cannot be used for a choice task.
        """
        settings = config.methods[name]
        if settings.prefer is not None:
            raise ConfigError(f"methods.{name}: `prefer` is for text tasks, and {config.task.name} is a choice task.")
        if isinstance(config.strong, ServerStrong):
            check_untrained(name, settings)
        if settings.refine is not None:
            check_choice_refiner(settings.refine, config.strong, method=name, own_choices=rows.options is not None)
        pretraining = None if settings.pretune is None else continued_pretraining(config.trained, settings.pretune)
        chain = tuple(IntermediateModel.of(each, config.trainer) for each in settings.chain)
        return cls(name, config, Combination.of(name, settings, rows), pretraining, chain)

    @property
    def settings(self) -> Method:
        """What the experiment file says of it."""
        return self.config.methods[self.name]

    def student(self, targets: ChoiceTargets, rows: Rows, run: Run, *, seed: int, answered: Rows) -> PredictedChoices:
        """Return what the strong model predicts once it has been trained here on the combined targets.

        Args:
            targets: What `combined` returned.
            rows: The unlabelled and the test rows.
            run: Store, progress, notes and audits.
            seed: Training seed.
            answered: Those that it predicts, N of them.
        """
        step, strong = f"{self.name}, seed {seed}", self.strong(rows, run, seed=seed)
        targets = self.learned(targets, rows, run, seed=seed, strong=strong)
        learner = choice_learner(strong, self.config.trainer)
        objective, name = self.settings.objective, self.name
        return train_and_predict(
            learner, targets, objective, answered, run, seed=seed, name=step, others=rows, student=name
        )

    def strong(self, rows: Rows, run: Run, *, seed: int) -> Strong:
        """Return the strong model that the student starts from: with `pretune`, after that; see `student`."""
        if self.pretraining is None:
            return self.config.trained
        name = f"pretune for {self.name}, seed {seed}"
        model = self.pretraining(rows.part("unlabelled"), run, seed=seed, name=name)
        return self.config.trained.model_copy(update={"model": str(model)})

    def learned(self, targets: ChoiceTargets, rows: Rows, run: Run, *, seed: int, strong: StrongModel) -> ChoiceTargets:
        """Return what the student learns: the combined targets, filtered, refined, and relabelled by the chain.

        Args:
            targets: What `combined` returned.
            rows: The unlabelled and the test rows.
            run: Store, progress, notes and audits.
            seed: Training seed.
            strong: The strong model that refines.
        """
        objective = self.settings.objective
        if self.settings.filter is not None:
            targets = surest(targets, **self.settings.filter.model_dump(), seed=seed)
        if self.settings.refine is not None:
            targets = refined_choices(self.settings.refine, strong, targets, rows, run, seed=seed, method=self.name)
            if not make_objective(objective).takes_votes:
                targets = dataclasses.replace(targets, votes=None, lambdas=None)
        for intermediate in self.chain:
            name = f"relabel for {self.name}, seed {seed}"
            targets = intermediate.relabel(targets, rows.part("unlabelled"), objective, run, seed=seed, name=name)
        return targets


def continued_pretraining(strong: Strong, settings: Pretune) -> ContinuedPretraining:
    """Return the continued pretraining that an experiment file describes."""
    # Imported here, because the Trainer takes seconds to import.
    from outgrow.train.pretraining import ContinuedPretraining

    return ContinuedPretraining(weights_of(strong.model), strong.max_length, settings)

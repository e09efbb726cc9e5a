"""From the votes on a choice task to the targets of its student: calibrate, combine, correct class proportions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.combiner import ChoiceCombiner, WeighingCombiner
from outgrow.combine.targets import checked_proportions, match_proportions, shifted_proportions
from outgrow.config import Method
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, ChoiceVotes, Rows, positions
from outgrow.labels.columns import among, in_batches
from outgrow.objectives import Objective
from outgrow.pipeline.refining import make_refiner
from outgrow.registry import can, create


@dataclass(frozen=True)
class Combination:
    """How a method turns votes into targets."""

    combiner: ChoiceCombiner
    """Turns votes (and gold answers, where known) into targets."""
    every_vote: bool
    """Whether student or refiner learn from every vote: then the combiner has `lambdas`, see `WeighingCombiner`."""
    calibrate: bool
    """Whether votes get a temperature per supervisor first."""
    proportions: NDArray[np.float64] | None
    """Class proportions that the targets should have, shape (K,); None leaves them as they are."""
    shifted: bool
    """Whether `proportions` are those of the supervisors' training rows, from which the targets' are estimated."""

    @classmethod
    def of(cls, name: str, settings: Method, rows: Rows) -> Combination:
        """Return the combination that an experiment file describes.

        Args:
            name: Name of the method in the experiment file.
            settings: Settings of the method.
            rows: All rows of the task.

        Raises:
            ConfigError: A name or a parameter is wrong, or does not fit the others or the rows.
        """
        objective: Objective = create("objective", settings.objective.name, settings.objective.params)
        combine, door = settings.combine, f"methods.{name}.combine"
        combiner = create("combiner", combine.name, combine.params, "choices", door=door)
        wanted = settings.proportions
        calibrated = settings.calibrate or combiner.needs_gold
        if calibrated and "validation" not in rows.parts:
            raise ConfigError(
                f"methods.{name}: there are no validation rows to calibrate on.",
                fix="Set task.split.validation, say to 100 rows.",
            )
        if wanted is not None and objective.takes_votes:
            raise ConfigError(
                f"methods.{name}: the objective {settings.objective.name!r} learns from single votes, and class "
                "proportions apply to combined targets.",
                fix="Remove `proportions`, or choose another objective.",
            )
        # A posterior has weighed every vote already: what takes votes gets it as a single one.
        refiner = None if settings.refine is None else make_refiner(settings.refine, "choices", method=name)
        takes_votes = objective.takes_votes or (refiner is not None and refiner.takes_votes)
        every_vote = takes_votes and can(combiner, "lambdas")
        proportions = None if wanted is None else _proportions(name, wanted, rows)
        return cls(combiner, every_vote, settings.calibrate, proportions, shifted=wanted == "estimated")

    def __call__(self, votes: ChoiceVotes, validation: Rows) -> ChoiceTargets:
        """Return one target per row with a usable vote, and the votes as well if the student learns from each.

        Args:
            votes: Votes on the validation and the unlabelled rows.
            validation: Rows whose gold answers calibrate; they are not among the targets.

        Raises:
            DataError: No row has a usable vote, or class proportions cannot be reached.
        """
        gold, known = np.full(len(votes.ids), -1, dtype=np.int64), positions(votes.ids, validation.ids)
        gold[known] = validation.gold_indices()
        if self.calibrate:
            temperatures = fit_temperatures(votes.take(known), gold[known])
            probs = in_batches(lambda own: apply_temperatures(own, temperatures), votes.probs)
            votes = dataclasses.replace(votes, probs=probs)
        every = self.combiner.choices(votes, gold)
        targets = every.take(np.flatnonzero(~among(every.ids, validation.ids)))
        if self.proportions is not None:
            wanted = shifted_proportions(targets.probs, self.proportions) if self.shifted else self.proportions
            matched = match_proportions(targets.probs, wanted, weights=targets.weights)
            targets = dataclasses.replace(targets, probs=matched)
        if not self.every_vote:
            return targets
        lambdas = cast(WeighingCombiner, self.combiner).lambdas(votes.supervisors, votes, gold)
        kept = votes.take(positions(votes.ids, targets.ids)).probs
        return dataclasses.replace(targets, votes=kept, lambdas=lambdas)


def _proportions(name: str, wanted: str | Mapping[str, float], rows: Rows) -> NDArray[np.float64]:
    choices = rows.choices or ()
    if not isinstance(wanted, str):
        if set(wanted) != set(choices):
            raise ConfigError(
                f"methods.{name}: proportions need one share per choice.", found=dict(wanted), wanted=", ".join(choices)
            )
        return checked_proportions([wanted[choice] for choice in choices], len(choices))
    gold = rows.part("gold")
    if not len(gold):
        raise ConfigError(
            f"methods.{name}: there are no gold rows to take class proportions from.",
            fix="Give a share per choice, or raise task.split.gold.",
        )
    return gold.gold_shares()

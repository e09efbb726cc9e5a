"""The dependence-aware posterior: copies count once, and failing together costs confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import agreement_of, find_copies, pool
from outgrow.combine.ballots import Ballots, Merged, checked_gold
from outgrow.combine.calibration import recalibrate
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.difficulty import Lines, difficulty_posterior, fit_difficulty
from outgrow.combine.result import Posterior, finished, normalised

DIFFICULTY_UP_TO = 10
"""Most choices for which difficulty is modelled: its states grow with K times the quadrature grid."""


@dataclass(frozen=True)
class Dependence(PosteriorCombiner):
    """A posterior for supervisors that may copy each other and fail on the same rows (`combine: dependence`).

    1. Near-copies are found and pooled, so that they count once (`find_copies`).
    2. Dawid–Skene on what remains gives a start.
    3. A latent-class model with a random difficulty per row turns it into a posterior (`DifficultyModel`): where
       supervisors fail together, agreement counts for less. Independent supervisors give τ ≈ 0, which is Dawid–Skene.
       Probabilistic votes carry the difficulty of a row themselves; there the votes' evidence is discounted by the
       errors that supervisors share instead (`SoftVotes`).
    4. Gold rows, if any, are held in the model, and the temperature and bias of the posterior are fitted on them.

    Source:
        Copies: Jaffe et al. 2016 (arXiv 1510.05830). Difficulty: Qu, Tan & Kutner 1996, Whitehill et al. 2009. The
        combination is ours.

    Example:
        >>> random = np.random.default_rng(0)
        >>> truth = random.integers(0, 2, 2000)
        >>> said = [np.where(random.random(2000) < each, truth, 1 - truth) for each in (0.65, 0.85, 0.85)]
        >>> cast = np.eye(2)[np.stack([said[0]] * 4 + said[1:], axis=1)]  # four copies of the weakest
        >>> round(float((Dependence().posterior(Ballots.of(cast)).probs.argmax(axis=1) == truth).mean()), 1)
        0.9
    """

    copy_excess: float = 0.65
    """Supervisors are copies if their votes correlate by this much more than being right explains; 1 finds none."""
    difficulty: bool = True
    """Whether rows may differ in difficulty."""
    iterations: int = 200
    """Most steps of the fit."""

    def __post_init__(self) -> None:
        if not 0 < self.copy_excess <= 1 or self.iterations < 1:
            raise ValueError("copy_excess is above 0 and at most 1, iterations at least 1")

    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Return the posterior of every row; gold rows (`gold >= 0`) are certain, and calibrate the others."""
        merged = Merged.of(ballots, checked_gold(gold, ballots.rows, ballots.choices))
        lines, known = merged.ballots, merged.gold
        agreement = agreement_of(lines)
        copies = find_copies(lines, excess=self.copy_excess, agreement=agreement)
        pooled = pool(lines, copies) if copies else lines
        active = pooled.per_supervisor > 0
        strengths = bool(pooled.soft_supervisors()[active].all())
        start = DawidSkene(discount=strengths).posterior(pooled, gold=known)
        notes, spread = start.notes, None
        if not self.difficulty or strengths or active.sum() < 3:
            log_joint = _log_joint(start)
        elif ballots.choices > DIFFICULTY_UP_TO:
            log_joint, notes = _log_joint(start), (*notes, _TOO_MANY_CHOICES)
        else:
            data = Lines.of(pooled, known, start.probs)
            model = fit_difficulty(data, start.probs, iterations=self.iterations)
            log_joint, spread = difficulty_posterior(model, data), model.spread
        probs = finished(normalised(recalibrate(log_joint, known, lines.count)), lines, known)
        return Posterior(probs[merged.of_row], copies, spread, notes, agreement)


def _log_joint(start: Posterior) -> NDArray[np.float64]:
    probs = start.probs if start.unheld is None else start.unheld
    log_probs: NDArray[np.float64] = np.log(np.maximum(probs, np.finfo(float).tiny))
    return log_probs


_TOO_MANY_CHOICES = (
    f"Difficulty of the rows is not modelled for more than {DIFFICULTY_UP_TO} choices: confidence may be too high."
)

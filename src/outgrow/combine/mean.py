"""The λ-weighted mean of several supervisors' probabilities, and the share of supervisors behind each choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, checked_gold, pooled, split_ties
from outgrow.combine.combiner import CombinedTexts, Combiner, PosteriorCombiner
from outgrow.combine.result import Posterior, finished, targets_of
from outgrow.combine.texts import naive_targets, score_matrices
from outgrow.combine.weights import Weights, agreement_weights, check_weighting, explicit_weights
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, ChoiceVotes, TextLabels
from outgrow.labels.columns import in_batches


@dataclass(frozen=True)
class Mean(Combiner):
    """The λ-weighted mean over the supervisors that voted on a row (`combine: mean`).

    Learning it by cross entropy is naive multi-weak supervision: the λ-weighted sum of the losses on each label.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), naive multi-weak.

    Example:
        >>> votes = ChoiceVotes(("a",), ("x", "y"), np.array([[[0.2, 0.8], [0.6, 0.4]]]))
        >>> Mean(weights={"x": 3.0, "y": 1.0}).choices(votes).probs.round(2).tolist()
        [[0.3, 0.7]]
    """

    weights: dict[str, float] | str | None = None
    """λ ≥ 0 of each supervisor by name, of which only the ratios matter; `uniform` (the default); `calibrated` on gold
    rows; or, without gold, `estimated` from the dependence-aware posterior, in text tasks by `agreement_weights`."""
    harden: bool = False
    """Put all probability on the most likely choice; ties share it."""

    @property
    def needs_gold(self) -> bool:
        """Whether λ is calibrated on gold answers."""
        return self.weights == "calibrated"

    @property
    def needs_scores(self) -> bool:
        """Whether λ is estimated, in text tasks from the supervisors' scores."""
        return self.weights == "estimated"

    def check_texts(self, supervisors: Sequence[str]) -> None:
        """Refuse `harden`, `calibrated` and weights that do not fit the supervisors."""
        if self.harden:
            raise ConfigError("The combiner 'mean' with `harden` is for choice tasks.", fix="Remove `harden`.")
        if not self.needs_scores:
            self.lambdas(supervisors)

    def choices(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Return targets for the rows with a usable vote; see `ChoiceCombiner` and `lambdas`."""
        return self.weighted(votes, self.lambdas(votes.supervisors, votes, gold))

    def texts(self, labels: TextLabels, prompts: Sequence[str], scored: Callable[[], TextLabels]) -> CombinedTexts:
        """Return each supervisor's best text of each row, weighted by λ; see `naive_targets` and `TextCombiner`."""
        estimated = agreement_weights(score_matrices(scored())) if self.needs_scores else None
        lambdas = self.lambdas(labels.supervisors) if estimated is None else estimated
        by_name = dict(zip(labels.supervisors, lambdas.tolist(), strict=True))
        return CombinedTexts(naive_targets(labels, prompts, by_name), estimated)

    @property
    def weighting(self) -> Weights:
        """λ, uniform by default."""
        return "uniform" if self.weights is None else self.weights

    def posterior(
        self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None, weights: NDArray[np.float64] | None = None
    ) -> Posterior:
        """Return the mean vote of each row (N, K), each supervisor's vote counting λ (M,)."""
        known = checked_gold(gold, ballots.rows, ballots.choices)
        shares = pooled(ballots, weights)
        return Posterior(finished(split_ties(shares) if self.harden else shares, ballots, known))

    def weighted(self, votes: ChoiceVotes, lambdas: NDArray[np.float64]) -> ChoiceTargets:
        """Return the same targets for given λ, shape (M,)."""

        def usable(probs: NDArray[np.float64]) -> NDArray[np.bool_]:
            return ~np.isnan(probs).all(axis=2) @ lambdas > 0

        def mean(probs: NDArray[np.float64]) -> NDArray[np.float64]:
            total: NDArray[np.float64] = np.einsum("nmk,m->nk", np.nan_to_num(probs), lambdas)
            total /= np.where(usable(probs), total.sum(axis=1), 1.0)[:, None]
            return split_ties(total) if self.harden else total

        # In batches, because a copy of all votes is the largest array there is.
        return targets_of(votes, in_batches(mean, votes.probs), in_batches(usable, votes.probs))

    def lambdas(
        self, supervisors: Sequence[str], votes: ChoiceVotes | None = None, gold: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the weight of each supervisor (M,), `estimated` from votes or `calibrated` on gold (N,), -1 = unknown.

        Raises:
            ConfigError: A weight is missing, negative, or for a supervisor that does not exist; or weights are to be
                estimated without choice votes, or calibrated without gold.
        """
        if self.weights is None or self.weights == "uniform":
            return np.ones(len(supervisors))
        if not isinstance(self.weights, str):
            explicit_weights(self.weights, supervisors)  # raises where they do not fit
            return np.array([self.weights[name] for name in supervisors], dtype=np.float64)
        check_weighting(self.weights, has_gold=gold is not None and bool((gold >= 0).any()))
        if votes is None:
            raise ConfigError("Weights can be estimated from choice votes only.", fix="Give a number per supervisor.")
        from outgrow.combine.methods import combine  # which makes combiners

        return combine(votes, "mean", gold=gold, weights=self.weights).weights


@dataclass(frozen=True)
class Majority(PosteriorCombiner):
    """The share of supervisors behind each choice, by their most probable choice (`combine: majority`).

    Example:
        >>> votes = ChoiceVotes(("a",), ("x", "y", "z"), np.array([[[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]]))
        >>> Majority().choices(votes).probs.round(3).tolist(), Majority(harden=True).choices(votes).probs.tolist()
        ([[0.333, 0.667]], [[0.0, 1.0]])
    """

    harden: bool = False
    """Put all probability on the choice with the most votes; ties share it."""

    @property
    def weighting(self) -> str:
        """Every vote counts alike, unless `combine` is given λ."""
        return "uniform"

    def posterior(
        self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None, weights: NDArray[np.float64] | None = None
    ) -> Posterior:
        """Return shares of the votes (N, K), each supervisor's vote counting λ (M,)."""
        known = checked_gold(gold, ballots.rows, ballots.choices)
        shares = pooled(ballots, weights, favourites=True)
        return Posterior(finished(split_ties(shares) if self.harden else shares, ballots, known))

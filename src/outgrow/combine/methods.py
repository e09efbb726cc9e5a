"""`combine`: one function over all methods, with λ, the effective number of supervisors and what cannot be known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.agreement import Agreement, agreement_of
from outgrow.combine.ballots import Ballots, checked_gold
from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.dependence import Dependence
from outgrow.combine.diagnostics import describe, effective_supervisors, shared_errors
from outgrow.combine.majority import Majority, pooled
from outgrow.combine.merging import Merged
from outgrow.combine.result import Combined, Posterior, finished
from outgrow.combine.weights import Weights, check_weighting, explicit_weights, informed_weights
from outgrow.errors import ConfigError, UnknownNameError, did_you_mean
from outgrow.labels import ChoiceVotes

Array = NDArray[np.float64]

METHODS = ("mean", "majority", "dawid_skene", "dependence")


def combine(
    votes: ChoiceVotes | ArrayLike | Ballots,
    method: str | PosteriorCombiner = "dependence",
    *,
    gold: ArrayLike | None = None,
    seed: int = 0,
    weights: Weights | None = None,
    calibrate: bool = False,
) -> Combined:
    """Combines what several supervisors said about each row.

    Args:
        votes: `ChoiceVotes`, an array (N, M, K) with NaN for abstentions, or `Ballots` (a long list, for many people).
        method: `mean`, `majority`, `dawid_skene`, `dependence`, or a configured `DawidSkene` or `Dependence`.
        gold: Known answers, shape (N,), -1 where unknown. They hold their rows, and teach who is right.
        seed: Taken so that all methods are called alike; those here draw nothing and give the same numbers for any.
        weights: λ by `uniform`, `calibrated` (on gold), `estimated` (on the posterior), or a number per supervisor. The
            mean and the majority use them; the other methods weigh supervisors themselves and only report λ.
            By default uniform for mean and majority, estimated for the others.
        calibrate: Fit a temperature per supervisor on the gold rows first (votes must then be `ChoiceVotes` or an
            array).

    Raises:
        DataError: Votes or gold have a wrong shape or wrong values.
        ConfigError: Unknown method or weighting, weights that do not fit, or calibration without gold.

    Example:
        >>> cast = np.array([[[0.9, 0.1], [0.6, 0.4]], [[np.nan, np.nan], [0.3, 0.7]], [[np.nan] * 2] * 2])
        >>> combined = combine(cast, "mean")
        >>> combined.probs.round(2).tolist(), combined.usable.tolist()
        ([[0.75, 0.25], [0.3, 0.7], [0.5, 0.5]], [True, True, False])
    """
    if calibrate:
        votes = _calibrated(votes, gold)
    every = Ballots.of(votes)
    # From here on rows with the same votes are one: with few people and choices a thousand lines stand for millions.
    merged = Merged.of(every, checked_gold(gold, every.rows, every.choices))
    ballots, known = merged.ballots, merged.gold
    if isinstance(weights, str):
        check_weighting(weights, has_gold=bool((known >= 0).any()))
    simple = method in ("mean", "majority")
    posterior = None if simple else _method(method).posterior(ballots, gold=known)
    wanted = weights if weights is not None else ("uniform" if simple else "estimated")
    agreement = (posterior and posterior.agreement) or agreement_of(ballots)
    lambdas = _lambdas(wanted, ballots, posterior, known, agreement)
    if posterior is None:
        posterior = _simple(str(method), ballots, known, lambdas)
    usable = ballots.has_votes | (known >= 0)
    errors = shared_errors(ballots, posterior.probs, agreement)
    diagnostics = describe(ballots, posterior, known, errors)
    probs, usable = posterior.probs[merged.of_row], usable[merged.of_row]
    return Combined(probs, lambdas, effective_supervisors(ballots, errors), diagnostics, usable)


def _simple(method: str, ballots: Ballots, gold: NDArray[np.int64], weights: Array) -> Posterior:
    if method == "majority":
        return Majority().posterior(ballots, gold=gold, weights=weights)
    return Posterior(finished(pooled(ballots, weights), ballots, gold)[0])


def _method(method: str | PosteriorCombiner) -> PosteriorCombiner:
    if not isinstance(method, str):
        return method
    found: dict[str, PosteriorCombiner] = {"dawid_skene": DawidSkene(), "dependence": Dependence()}
    if method not in found:
        raise UnknownNameError(
            f"There is no method of combination named {method!r}.", fix=did_you_mean(method, METHODS)
        )
    return found[method]


def _lambdas(
    wanted: Weights,
    ballots: Ballots,
    posterior: Posterior | None,
    gold: NDArray[np.int64],
    agreement: Agreement | None,
) -> Array:
    if not isinstance(wanted, str):
        return explicit_weights(wanted, ballots.names)
    if wanted == "uniform":
        return np.full(len(ballots.names), 1.0 / len(ballots.names))
    if wanted == "calibrated":
        judged = ballots.select(gold[ballots.row] >= 0)
        certain = np.eye(ballots.choices)[np.maximum(gold, 0)]
        return informed_weights(judged, certain, shared_errors(judged, certain, agreement_of(judged)))
    belief = (posterior or Dependence().posterior(ballots, gold=gold)).probs
    return informed_weights(ballots, belief, shared_errors(ballots, belief, agreement))


def _calibrated(votes: ChoiceVotes | ArrayLike | Ballots, gold: ArrayLike | None) -> ChoiceVotes | Array:
    if gold is None or isinstance(votes, Ballots):
        raise ConfigError(
            "Temperatures are fitted to votes of shape (N, M, K) on gold answers.",
            found="no gold" if gold is None else "a long list of votes",
            fix="Pass gold, -1 where unknown, and votes as ChoiceVotes or an array.",
        )
    temperatures = fit_temperatures(votes, gold)
    if isinstance(votes, ChoiceVotes):
        probs = apply_temperatures(votes.probs, temperatures)
        return ChoiceVotes(votes.ids, votes.supervisors, probs, votes.status, votes.errors)
    return apply_temperatures(votes, temperatures)

"""`combine`: one function over all combiners, with λ, the effective number of supervisors and diagnostics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.agreement import Agreement, agreement_of
from outgrow.combine.ballots import Ballots, Merged, checked_gold
from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.dependence import Dependence
from outgrow.combine.diagnostics import describe, effective_supervisors, shared_errors
from outgrow.combine.result import Combined, Posterior, finished
from outgrow.combine.tables import read_votes
from outgrow.combine.weights import Weights, check_weighting, explicit_weights, informed_weights
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes, positions
from outgrow.registry import can, create, require

Array = NDArray[np.float64]


def combine(
    votes: ChoiceVotes | Ballots | ArrayLike | Sequence[tuple[Any, Any, Any]] | Any,
    method: str | Any = "dependence",
    *,
    choices: int | Sequence[Any] | None = None,
    gold: ArrayLike | Mapping[Any, Any] | None = None,
    seed: int = 0,
    weights: Weights | None = None,
    calibrate: bool = False,
) -> Combined:
    """Combine the votes of several supervisors into a posterior per row.

    Args:
        votes: One of
            - whole numbers (N, M), the label of each row by each supervisor, -1 for abstentions;
            - probabilities (N, M, K), K NaNs for an abstention, or `ChoiceVotes`;
            - a long table with columns `task`, `worker` and `label` (pandas or pyarrow), or a list of such tuples.
              Labels may be strings; missing ones, empty ones and -1 are abstentions;
            - `Ballots`, for very many votes.
        method: Name of a registered combiner with its default parameters, or a combiner, such as `DawidSkene(…)`.
        choices: K or the labels in order, where the votes do not show them all. Default: the labels that occur, sorted.
        gold: Known answers, shape (N,), -1 where unknown, or a mapping of rows to labels by name. They hold their
            rows, and show who is right.
        seed: Ignored: all methods are deterministic.
        weights: λ by `uniform`, `calibrated` (on gold), `estimated` (on the posterior), or a number per supervisor.
            `mean` and `majority` use them; the other methods weigh supervisors themselves and only report λ. Default:
            those of the combiner for `mean`, uniform for `majority`, estimated for the others.
        calibrate: Fit a temperature per supervisor on the gold rows first; votes must be probabilities.

    Raises:
        DataError: Votes or gold have a wrong form or wrong values.
        ConfigError: Unknown method or weighting, weights that do not fit, or calibration without gold.

    Example:
        >>> cast = [("a", "ann", "yes"), ("a", "bob", "yes"), ("a", "eve", "no"), ("b", "ann", "no")]
        >>> combined = combine(cast, "majority")
        >>> combined.rows, combined.choices, combined.probs.round(2).tolist()
        (('a', 'b'), ('no', 'yes'), [[0.33, 0.67], [1.0, 0.0]])
        >>> combine([[1, 1, 0], [0, -1, -1]], "majority").probs.round(2).tolist()
        [[0.33, 0.67], [1.0, 0.0]]
    """
    if calibrate:
        votes = _calibrated(votes, gold)
    every, rows, names = named = read_votes(votes, choices)
    known = checked_gold(named.gold(gold), every.rows, every.choices)
    combiner = create("combiner", method, {}) if isinstance(method, str) else method
    if isinstance(weights, str):
        check_weighting(weights, has_gold=bool((known >= 0).any()))
    own = getattr(combiner, "weighting", None)
    wanted = weights if weights is not None else "estimated" if own is None else own
    posterior: Posterior | None = None
    if can(combiner, "posterior"):
        # Rows with the same votes become one: with few people and choices a thousand lines stand for millions.
        merged = Merged.of(every, known)
        if own is None:
            posterior = combiner.posterior(merged.ballots, gold=merged.gold)
    else:
        merged = Merged(every, known, np.arange(every.rows))
        posterior = _by_choices(combiner, method, every, known)
    ballots, known = merged.ballots, merged.gold
    agreement = (posterior and posterior.agreement) or agreement_of(ballots)
    lambdas = _lambdas(wanted, ballots, posterior, known, agreement)
    if posterior is None:
        posterior = combiner.posterior(ballots, gold=known, weights=lambdas)
    errors = shared_errors(ballots, posterior.probs, agreement)
    diagnostics = describe(ballots, posterior, known, errors)
    usable = (ballots.has_votes | (known >= 0))[merged.of_row]
    probs, effective = posterior.probs[merged.of_row], effective_supervisors(ballots, errors)
    return Combined(probs, lambdas, effective, diagnostics, usable, rows, names)


def _by_choices(combiner: Any, name: Any, ballots: Ballots, gold: NDArray[np.int64]) -> Posterior:
    """The targets of a combiner without `posterior`; uniform where it leaves a row out."""
    if not can(combiner, "choices") and not callable(combiner):
        require("combiner", str(name), combiner, "choices", door="combine")
    votes = ballots.votes()
    targets = getattr(combiner, "choices", combiner)(votes, gold)
    probs = np.full((ballots.rows, ballots.choices), 1 / ballots.choices)
    probs[positions(votes.ids, targets.ids)] = targets.probs
    return Posterior(finished(probs, ballots, gold)[0])


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
        checked = ballots.select(gold[ballots.row] >= 0)
        certain = np.eye(ballots.choices)[np.maximum(gold, 0)]
        return informed_weights(checked, certain, shared_errors(checked, certain, agreement_of(checked)))
    belief = (posterior or Dependence().posterior(ballots, gold=gold)).probs
    return informed_weights(ballots, belief, shared_errors(ballots, belief, agreement))


def _calibrated(votes: Any, gold: ArrayLike | Mapping[Any, Any] | None) -> ChoiceVotes | Array:
    if gold is None or isinstance(gold, Mapping) or not (isinstance(votes, ChoiceVotes) or np.ndim(votes) == 3):
        raise ConfigError(
            "Temperatures are fitted to probabilities of shape (N, M, K) on gold answers.",
            found="no gold" if gold is None else "votes or gold of another form",
            fix="Pass gold as an array, -1 where unknown, and votes as ChoiceVotes or an array.",
        )
    temperatures = fit_temperatures(votes, gold)
    if isinstance(votes, ChoiceVotes):
        return dataclasses.replace(votes, probs=apply_temperatures(votes.probs, temperatures))
    return apply_temperatures(votes, temperatures)

"""Temperature scaling of supervisors and of posteriors on gold answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.ballots import Ballots, checked_gold
from outgrow.combine.result import normalised
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes

_FLOOR = 1e-6
"""Smallest probability a vote is given: a certain vote has no temperature."""
_LOG_TEMPERATURE_SD, _OFFSET_SD = 0.5, 0.3
"""Standard deviations of the normal priors on the posterior's log-temperature and class offsets."""
_LEAST_GOLD = 10
"""Gold rows below which a posterior is left as it is."""


def fit_temperatures(votes: ChoiceVotes | ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Fit the temperatures T (M,) that make y^(1/T) of votes (N, M, K) most likely on gold (N,), -1 where unknown.

    T > 1 reduces overconfidence. T lies between 0.05 and 20; a supervisor without a vote on a gold row keeps 1.

    Raises:
        DataError: No gold answer is known.

    Source:
        Guo et al. 2017 (arXiv 1706.04599).

    Example:
        >>> sure = np.tile([[[0.99, 0.01]]], (4, 1, 1))  # right three times of four
        >>> temperature = fit_temperatures(sure, [0, 0, 0, 1])
        >>> apply_temperatures(sure, temperature)[0, 0].round(2).tolist()
        [0.75, 0.25]
    """
    ballots = Ballots.of(votes)
    known = checked_gold(gold, ballots.rows, ballots.choices)
    if (known < 0).all():
        raise DataError("Temperatures need gold answers.", found="none", fix="Pass gold, -1 where unknown.")
    answers = known[ballots.row]
    log_votes = np.log(np.maximum(ballots.distributions(), _FLOOR))
    temperatures = np.ones(len(ballots.names))
    for person in range(len(ballots.names)):
        own = (ballots.supervisor == person) & (answers >= 0)
        if own.any():
            temperatures[person] = _best_temperature(log_votes[own], answers[own])
    return temperatures


def apply_temperatures(votes: ArrayLike, temperatures: ArrayLike) -> NDArray[np.float64]:
    """Return votes (N, M, K) raised to 1/T of their supervisor (M,) and normalised; abstentions stay NaN."""
    logits = np.log(np.maximum(np.asarray(votes, dtype=np.float64), _FLOOR))
    logits = logits / np.asarray(temperatures, dtype=np.float64)[:, None]
    return normalised(logits)


def recalibrate(
    log_joint: NDArray[np.float64], gold: NDArray[np.int64], count: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Fit one temperature and an offset per class of a posterior on its gold rows, and apply them to all rows.

    Votes alone do not say how often everybody is wrong together; gold rows do. The log-posterior (N, K) need not be
    normalised; the gold rows' own answers (N,) are not used in it. A row stands for `count` (N,) rows. Normal priors on
    log T and the offsets keep few gold rows from doing harm; below ten rows nothing is changed.
    """
    known = np.flatnonzero(gold >= 0)
    times = np.ones(len(known)) if count is None else count[known]
    if times.sum() < _LEAST_GOLD:
        return log_joint
    # Here, because they take longer to import than all else in this room.
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    logits = log_joint - log_joint.mean(axis=1, keepdims=True)
    own, answers = logits[known], gold[known]
    width = np.array([_LOG_TEMPERATURE_SD] + [_OFFSET_SD] * logits.shape[1])

    def loss(parameters: NDArray[np.float64]) -> float:
        scaled = np.exp(-parameters[0]) * own + parameters[1:]
        picked = scaled[np.arange(len(own)), answers]
        return float(times @ (logsumexp(scaled, axis=1) - picked) + 0.5 * ((parameters / width) ** 2).sum())

    best = minimize(loss, np.zeros(len(width)), method="L-BFGS-B").x
    scaled: NDArray[np.float64] = np.exp(-best[0]) * logits + best[1:]
    return scaled


def _best_temperature(log_votes: NDArray[np.float64], answers: NDArray[np.int64]) -> float:
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(log_temperature: float) -> float:
        logits = log_votes * np.exp(-log_temperature)
        return float((logsumexp(logits, axis=1) - logits[np.arange(len(logits)), answers]).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))

"""A latent-class model with row difficulty, which lowers confidence where supervisors fail together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.special import logsumexp

from outgrow.combine.ballots import Ballots
from outgrow.combine.dawid_skene import SoftVotes

Array = NDArray[np.float64]

# Of 21 nodes the outermost three on each side carry less than 10⁻⁶ of the mass: a third of the work for nothing.
_NODES, _WEIGHTS = (column[3:-3] for column in np.polynomial.hermite_e.hermegauss(21))
_LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())
_CHUNK = 8192
"""Lines handled at once: the lines × K × grid array then stays in the processor's cache."""
_SLOPE_SD, _INTERCEPT_SD = 2.0, 3.0
"""Standard deviations of the normal priors on slopes and intercepts."""
_LARGEST_LOG_SPREAD = 5.0
_SPREAD_SD = 0.5
"""Standard deviation of the half-normal prior on τ. It matters where the data hardly identify τ: with 12 language
models on StrategyQA, any τ from 1 to 2.6 fits the votes about as well."""
_BALANCE, _BALANCE_SHARE = 100.0, 0.05
"""Prior rows spread evenly over the choices: at most so many, and at most this share of the rows. With large τ the
votes hardly determine the class balance; without this prior it wandered to .29/.71 where .53/.47 was true."""
_CALIBRATION_ROUNDS = 20
"""Rounds of fitting probabilistic supervisors to a given posterior."""


@dataclass(frozen=True, eq=False)
class Lines:
    """P distinct lines. Plain choices are symbols, probabilistic votes are evidence."""

    symbols: sparse.csr_matrix
    """Ones at (line, symbol); a symbol is a choice of one supervisor; shape (P, S)."""
    owner: NDArray[np.int64]
    """Supervisor of each symbol, shape (S,), not decreasing."""
    evidence: NDArray[np.float64]
    """Summed log-evidence of the probabilistic votes, shape (P, K)."""
    present: sparse.csr_matrix
    """Ones at (line, probabilistic supervisor), shape (P, T)."""
    samples: tuple[NDArray[np.float64], ...]
    """For each of these T supervisors the log-evidence of some of its votes, shape (≤ 1000, K)."""
    gold: NDArray[np.int64]
    """Gold answer of each line, shape (P,), -1 where unknown."""
    count: NDArray[np.float64]
    """Rows that share each line, shape (P,)."""

    @classmethod
    def of(cls, lines: Ballots, gold: NDArray[np.int64], belief: NDArray[np.float64]) -> Lines:
        """Encode votes of P rows, merged where they can be; probabilistic ones are calibrated to a posterior (P, K)."""
        k = lines.choices
        soft = lines.soft_supervisors()[lines.supervisor]
        hard, strong = lines.select(~soft), lines.select(soft)
        pairs, symbol = hard.symbols()
        symbols = hard.incidence(symbol, len(pairs))
        evidence, column = np.zeros((lines.rows, k)), np.zeros(0, dtype=np.int64)
        samples: list[NDArray[np.float64]] = []
        if soft.any():
            votes = SoftVotes(strong)
            for _ in range(_CALIBRATION_ROUNDS):
                votes.fit(belief)
            votes.add_to(evidence)
            people, samples = votes.samples()
            column = np.searchsorted(people, strong.supervisor)
        present = strong.incidence(column, len(samples))
        return cls(symbols, pairs // k, evidence, present, tuple(samples), gold, lines.count)


@dataclass(frozen=True, eq=False)
class DifficultyModel:
    """P(symbol σ of its supervisor | answer k, row effect e) ∝ exp(a_σ + B_σk·(1 + τe)), e ~ N(0, 1).

    A vote with log-evidence v_k has likelihood exp((1 + τe)·v_k − A_k), A its normaliser over the supervisor's votes.
    τ = 0 is Dawid–Skene. With τ > 0 votes on a row are independent only given e as well: all are more accurate on an
    easy row (e > 0), at chance on a hard one, and wrong together on a misleading one (1 + τe < 0). Agreement then
    counts for less, and how much less is estimated from the votes.

    Source:
        Latent class analysis with random effects (Qu, Tan & Kutner 1996) with nominal responses (Bock 1972); difficulty
        that multiplies ability as in GLAD (Whitehill et al. 2009). Priors and the treatment of strengths are ours.
    """

    intercept: Array
    """a, shape (S,)."""
    slope: Array
    """B, shape (S, K), each row summing to zero."""
    log_balance: Array
    """Log-probabilities of the choices, shape (K,)."""
    spread: float
    """τ ≥ 0."""


def fit_difficulty(lines: Lines, start: Array, *, iterations: int) -> DifficultyModel:
    """Fit the maximum a posteriori by L-BFGS from a first posterior (P, K); lines with gold keep their answer."""
    counts = lines.symbols.T @ (lines.count[:, None] * start) + 0.5
    confusion = np.log(counts / _per_supervisor(counts, lines.owner))
    intercept = confusion.mean(axis=1)
    balance = np.log(lines.count @ start + 1.0)
    first = [intercept, (confusion - intercept[:, None]).ravel(), balance - balance.mean(), [-1.0]]
    objective = _Objective(lines, start.shape[1])
    options = {"maxiter": iterations, "maxcor": 20}
    from scipy.optimize import minimize  # here, because it takes longer to import than all else in this room

    best = minimize(objective, np.concatenate(first), jac=True, method="L-BFGS-B", options=options)
    return objective.model(best.x)


def difficulty_posterior(model: DifficultyModel, lines: Lines) -> Array:
    """Return log p(answer, votes) of each line, shape (P, K); gold is not used."""
    found = np.empty(lines.evidence.shape)
    emission, normaliser = _emission(model, lines.owner), _normaliser(model.spread, lines)[0]
    for part in _parts(len(found)):
        joint = _joint(model, lines, part, emission, normaliser)
        found[part] = logsumexp(joint, axis=2) + model.log_balance
    return found


class _Objective:
    def __init__(self, lines: Lines, choices: int) -> None:
        self._lines, self._choices = lines, choices
        self._balance = min(_BALANCE, _BALANCE_SHARE * lines.count.sum()) / choices
        self._allowed = np.zeros(lines.evidence.shape)
        known = np.flatnonzero(lines.gold >= 0)
        self._allowed[known] = -np.inf
        self._allowed[known, lines.gold[known]] = 0.0

    def model(self, flat: Array) -> DifficultyModel:
        size, k = len(self._lines.owner), self._choices
        slope, balance = flat[size : size + size * k].reshape(size, k), flat[size + size * k : -1]
        # Only differences between choices are identified: a common slope would be a second, answerless factor.
        centred = slope - slope.mean(axis=1, keepdims=True)
        # A step of the line search may be wild: beyond this nothing changes but that numbers overflow.
        spread = float(np.exp(min(flat[-1], _LARGEST_LOG_SPREAD)))
        return DifficultyModel(flat[:size], centred, balance - logsumexp(balance), spread)

    def __call__(self, flat: Array) -> tuple[float, Array]:
        model, lines, k = self.model(flat), self._lines, self._choices
        emission = _emission(model, lines.owner)
        normaliser, drift = _normaliser(model.spread, lines)
        said, present = np.zeros_like(emission), np.zeros_like(normaliser)
        answers, log_likelihood, by_spread = np.zeros(k), 0.0, 0.0
        for part in _parts(len(lines.count)):
            count = lines.count[part]
            joint = _joint(model, lines, part, emission, normaliser)
            joint += (model.log_balance + self._allowed[part])[:, :, None]
            states = joint.reshape(len(joint), -1)
            top = states.max(axis=1, keepdims=True)
            np.exp(states - top, out=states)
            total = states.sum(axis=1, keepdims=True)
            log_likelihood += float(count @ (np.log(total) + top)[:, 0])
            states *= count[:, None] / total
            said += lines.symbols[part].T @ states
            present += lines.present[part].T @ states
            answers += joint.sum(axis=(0, 2))
            by_spread += float(((joint @ _NODES) * lines.evidence[part]).sum())
        surplus = said - _per_supervisor(said, lines.owner) * np.exp(emission)
        by_spread -= float((present * drift).sum())
        return self._penalised(model, log_likelihood, surplus.reshape(len(surplus), k, len(_NODES)), answers, by_spread)

    def _penalised(
        self, model: DifficultyModel, log_likelihood: float, surplus: Array, answers: Array, by_spread: float
    ) -> tuple[float, Array]:
        # Adds the priors; `surplus` (S, K, grid) is the gradient by the logits of the symbols.
        balance = np.exp(model.log_balance)
        loss = (
            -log_likelihood
            + 0.5 * ((model.slope / _SLOPE_SD) ** 2).sum()
            + 0.5 * ((model.intercept / _INTERCEPT_SD) ** 2).sum()
            + 0.5 * (model.spread / _SPREAD_SD) ** 2
            - self._balance * model.log_balance.sum()
        )
        by_slope = -(surplus @ (1 + model.spread * _NODES)) + model.slope / _SLOPE_SD**2
        by_slope -= by_slope.mean(axis=1, keepdims=True)
        by_spread += float(((surplus @ _NODES) * model.slope).sum()) - model.spread / _SPREAD_SD**2
        by_balance = answers.sum() * balance - answers - self._balance * (1 - self._choices * balance)
        by_intercept = -surplus.sum(axis=(1, 2)) + model.intercept / _INTERCEPT_SD**2
        by_log_spread = [-by_spread * model.spread]
        return float(loss), np.concatenate([by_intercept, by_slope.ravel(), by_balance, by_log_spread])


def _joint(model: DifficultyModel, lines: Lines, part: slice, emission: Array, normaliser: Array) -> Array:
    flat = lines.symbols[part] @ emission - lines.present[part] @ normaliser
    evidence = lines.evidence[part]
    joint: Array = flat.reshape(*evidence.shape, len(_NODES)) + _LOG_WEIGHTS
    if lines.samples:
        joint += evidence[:, :, None] * (1 + model.spread * _NODES)
    return joint


def _emission(model: DifficultyModel, owner: NDArray[np.int64]) -> Array:
    logits = model.intercept[:, None, None] + model.slope[:, :, None] * (1 + model.spread * _NODES)
    flat = logits.reshape(len(owner), model.slope.shape[1] * len(_NODES))
    flat = flat - flat.max(initial=0.0, axis=0)
    log_probs: Array = flat - np.log(_per_supervisor(np.exp(flat), owner) + np.finfo(float).tiny)
    return log_probs


def _normaliser(spread: float, lines: Lines) -> tuple[Array, Array]:
    """A of each probabilistic supervisor in each state, and its derivative by τ, both of shape (T, K·grid).

    By the definition of evidence, p(vote | k) is the supervisor's overall distribution of votes × exp(v_k), and that
    distribution is the sample.
    """
    k = lines.evidence.shape[1]
    values, slopes = np.zeros((2, len(lines.samples), k, len(_NODES)))
    for index, sample in enumerate(lines.samples):
        tilted = sample[:, :, None] * (1 + spread * _NODES)
        values[index] = logsumexp(tilted, axis=0) - np.log(len(sample))
        weights = np.exp(tilted - values[index]) / len(sample)
        slopes[index] = (weights * sample[:, :, None]).sum(axis=0) * _NODES
    shape = (len(lines.samples), k * len(_NODES))
    return values.reshape(shape), slopes.reshape(shape)


def _per_supervisor(values: Array, owner: NDArray[np.int64]) -> Array:
    if not len(owner):
        return values
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    totals: Array = np.add.reduceat(values, starts, axis=0)[np.cumsum(np.diff(owner, prepend=owner[:1]) > 0)]
    return totals


def _parts(length: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, length, _CHUNK))

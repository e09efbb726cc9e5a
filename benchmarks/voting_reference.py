"""The posterior of planted votes by one who knows how worlds are drawn, but not the parameters of this one.

On average over worlds no method that has to learn parameters has a lower NLL. Gibbs sampling from the planted answers:
parameters given answers (on grids), answers given parameters, and the mean of the posteriors. In worlds of copies it is
told who copies. The priors are those of `tests/combine/voting_worlds.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from scipy.special import gammaln

Array: TypeAlias = Any
Draw: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]
"""From answers (N,) and class probabilities (K,) to drawn log p(votes | answer) (N, K) and class probabilities."""
GRID, RULE_GRID, TRIES = 300, 24, 4


def reference(kind: str, world: Any, sweeps: int = 300, first: int = 60) -> Array:
    """The mean posterior (N, K) of a world of a kind (`voting_worlds.planted`); the first sweeps do not count."""
    random = np.random.default_rng(0)
    silent = np.isnan(world.votes).all(axis=2)
    labels, k = np.where(silent, -1, np.nan_to_num(world.votes).argmax(axis=2)), world.votes.shape[2]
    draw = {"rules": rules, "copies": copies}.get(kind, voters)(random, kind, labels, k, world)
    answers, total = world.truth, np.zeros((len(labels), k))
    balance = np.bincount(answers, minlength=k) / len(answers) * 0.9 + 0.1 / k
    for sweep in range(first + sweeps):
        log_joint, balance = draw(answers, balance)
        probs = softmax(log_joint + np.log(balance))
        answers = pick(random, np.log(np.maximum(probs, 1e-300)))
        total += probs * (sweep >= first)
    return total / sweeps


def voters(random: np.random.Generator, kind: str, labels: Array, k: int, world: Any) -> Draw:
    """Voters with an accuracy each, a share of them contrary, or with a confusion matrix each."""
    people, choices, votes = labels.shape[1], np.arange(k), incidence(labels, k)
    grid, prior = interval(0.55 if k == 2 else 0.35, 0.92), np.zeros(GRID)
    if kind == "contrary":
        share = max(1, people // 5) / people
        grid, prior = np.append(interval(0.1, 0.4), grid), np.log(np.repeat([share, 1 - share], GRID))
    rows, accuracy = interval(0.05, 0.98), np.full(people, 0.7)

    def draw(answers: Array, balance: Array) -> tuple[Array, Array]:
        counts = (votes.T @ np.eye(k)[answers]).reshape(people, k, k)
        hits, given = counts[:, choices, choices], counts.sum(axis=1)
        if kind == "confusion":
            near = -((rows - accuracy[:, None, None]) ** 2) / (2 * 0.08**2)
            own = rows[pick(random, binomial(hits, given, rows) + near)]
            accuracy[:] = grid[pick(random, -((own[:, :, None] - grid) ** 2).sum(axis=1) / (2 * 0.08**2))]
            confusion = random.gamma(0.7 + counts) + 1e-12
            confusion[:, choices, choices] = 0
            confusion *= ((1 - own) / confusion.sum(axis=1))[:, None]
            confusion[:, choices, choices] = own
        else:
            right = grid[pick(random, binomial(hits.sum(axis=1), given.sum(axis=1), grid) + prior)]
            confusion = coins(right, k)
        balance = class_probabilities(random, kind, np.bincount(answers, minlength=k), balance)
        return votes @ np.log(confusion.reshape(people * k, k)), balance

    return draw


def copies(random: np.random.Generator, kind: str, labels: Array, k: int, world: Any) -> Draw:
    """A hidden voter whom a known group copies, and others."""
    others, group = incidence(labels[:, ~world.copies], k), labels[:, world.copies]
    people, low = int((~world.copies).sum()), 0.55 if k == 2 else 0.4
    support = np.stack([(group == said).sum(axis=1) for said in range(k)], axis=1)
    every, rates = np.arange(len(labels)), interval(0.8, 0.95)
    grid, of_hidden = interval(low + 0.05, 0.9), interval(low, 0.8)
    said, channel = support * 3.0, coins(0.7, k)

    def draw(answers: Array, balance: Array) -> tuple[Array, Array]:
        nonlocal said, channel
        # After the answers, which were drawn whatever the hidden voter said.
        hidden = pick(random, said + np.log(channel[:, answers].T))
        counts = (others.T @ np.eye(k)[answers]).reshape(people, k, k)
        right = grid[pick(random, binomial(np.einsum("mjj->m", counts), counts.sum(axis=(1, 2)), grid))]
        hits = np.array((hidden == answers).sum(), dtype=float)
        channel = coins(of_hidden[pick(random, binomial(hits, len(labels), of_hidden))], k)
        same, cast = support[every, hidden].sum(), group.size
        chances = rates + (1 - rates) / k
        rate = rates[pick(random, same * np.log(chances) + (cast - same) * np.log((1 - rates) / k))]
        said = support * np.log(rate * k / (1 - rate) + 1)
        said = said - said.max(axis=1, keepdims=True)
        balance = class_probabilities(random, kind, np.bincount(answers, minlength=k), balance)
        log_joint = others @ np.log(coins(right, k).reshape(people * k, k)) + np.log(np.exp(said) @ channel)
        return log_joint, balance

    return draw


def rules(random: np.random.Generator, kind: str, labels: Array, k: int, world: Any) -> Draw:
    """Rules with a precision and a coverage each; class probabilities by Metropolis steps, which both depend on."""
    fires, own, each = sparse.csr_matrix((labels >= 0).astype(float)), labels.max(axis=0), np.arange(labels.shape[1])
    grids = np.meshgrid(interval(0.55, 0.95, RULE_GRID), interval(0.03, 0.16, RULE_GRID))
    precisions, coverages = (grid.ravel() for grid in grids)

    def draw(answers: Array, balance: Array) -> tuple[Array, Array]:
        classes = np.bincount(answers, minlength=k)
        fired = fires.T @ np.eye(k)[answers]
        right = fired[each, own]
        wrong = fired.sum(axis=1) - right

        def likelihood(rates: tuple[Array, Array]) -> Array:
            (on, off), extra = rates, (...,) + (None,) * (rates[0].ndim - 1)
            quiet, silent = classes[own] - right, len(labels) - classes[own] - wrong
            found = right[extra] * np.log(on) + quiet[extra] * np.log1p(-on)
            return found + wrong[extra] * np.log(off) + silent[extra] * np.log1p(-off)

        def rates(precision: Array, coverage: Array, balance: Array) -> tuple[Array, Array]:
            mass = balance[own] if precision.ndim == 1 and len(precision) == len(own) else balance[own][:, None]
            return np.minimum(precision * coverage / mass, 0.95), (1 - precision) * coverage / (1 - mass)

        at = pick(random, likelihood(rates(precisions[None], coverages[None], balance)))
        precision, coverage = precisions[at], coverages[at]

        def posterior(balance: Array) -> float:
            prior = ((classes + 4) * np.log(balance)).sum()
            return float(likelihood(rates(precision, coverage, balance)).sum() + prior)

        for _ in range(TRIES):
            for concentration in (None, 2000):
                there = classes + 5.0 if concentration is None else concentration * balance + 1
                other = random.dirichlet(there)
                back = there if concentration is None else concentration * other + 1
                gain = posterior(other) - posterior(balance) + dirichlet(balance, back) - dirichlet(other, there)
                balance = other if np.log(random.random()) < gain else balance
        on, off = rates(precision, coverage, balance)
        votes = np.repeat(off[:, None], k, axis=1)
        votes[each, own] = on
        return fires @ (np.log(votes) - np.log1p(-votes)) + np.log1p(-votes).sum(axis=0), balance

    return draw


def class_probabilities(random: np.random.Generator, kind: str, classes: Array, balance: Array) -> Array:
    """Class probabilities given how many answers are of each class, (K,)."""
    k, rows = len(classes), classes.sum()
    if kind == "unequal":  # nine tenths of a flat Dirichlet distribution, and a tenth spread evenly
        spread = random.binomial(classes, 0.1 / k / balance)
        return 0.9 * random.dirichlet(1 + classes - spread) + 0.1 / k
    odds = gammaln(10 * k) - gammaln(10 * k + rows) + (gammaln(10 + classes) - gammaln(10)).sum() + rows * np.log(k)
    if kind == "contrary" or random.random() > 1 / (1 + np.exp(-np.clip(odds, -500, 500))):
        return np.full(k, 1 / k)
    return random.dirichlet(10 + classes)


def pick(random: np.random.Generator, log_weights: Array) -> Array:
    """Indices drawn along the last axis."""
    return (log_weights + random.gumbel(size=log_weights.shape)).argmax(axis=-1)


def binomial(hits: Array, given: Array, grid: Array) -> Array:
    """Log-likelihood of hits among votes, with a further axis for accuracies."""
    hits, given = np.asarray(hits)[..., None], np.asarray(given)[..., None]
    return hits * np.log(grid) + (given - hits) * np.log(1 - grid)


def dirichlet(probs: Array, concentration: Array) -> float:
    """Log-density."""
    constant = gammaln(concentration.sum()) - gammaln(concentration).sum()
    return float(constant + ((concentration - 1) * np.log(probs)).sum())


def coins(accuracy: Array, k: int) -> Array:
    """Matrices of p(label | answer), the errors spread evenly, shape (..., K, K)."""
    share = np.asarray(accuracy)[..., None, None]
    return np.where(np.eye(k, dtype=bool), share, (1 - share) / (k - 1))


def incidence(labels: Array, k: int) -> sparse.csr_matrix:
    """Ones at (row, voter·K + label), shape (N, M·K)."""
    row, voter = np.nonzero(labels >= 0)
    shape = (len(labels), labels.shape[1] * k)
    return sparse.csr_matrix((np.ones(len(row)), (row, voter * k + labels[row, voter])), shape)


def interval(low: float, high: float, count: int = GRID) -> Array:
    """Middles of equal parts."""
    return low + (np.arange(count) + 0.5) / count * (high - low)


def softmax(values: Array) -> Array:
    """Over the last axis."""
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)

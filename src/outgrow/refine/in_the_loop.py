"""Refinement of choices by votes and a cross-fitted student of the strong model's features, which inform each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.targets import match_proportions
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.refine.refinement import ChoiceRefinement, StrongReader, check_features

Array = NDArray[np.float64]
Learner = Callable[[Array, Array, Array, Array], Array]
"""Distributions (n, K) on features (n, D), learned from features (N, D), targets (N, K) and weights (N,)."""

# Of these constants benchmarks/RESULTS.md says which data they have seen.
_COMPONENTS = 256
_SHRINKAGE = 0.5
_LEAST = 1e-3
_DOUBT = 0.05
"""Share of the uniform distribution in what the student says."""
_TEMPER = 0.5
"""Exponent of the votes' likelihood, since supervisors share errors."""


@dataclass(frozen=True)
class InTheLoop:
    """Posterior of votes and a student that is trained on the posterior of other rows (`refine: in_the_loop`).

    q(y | x, votes) ∝ p_student(y | x) · Π_m p(vote_m | y)^½, where p(vote_m | y) is counted under the mean of student
    and combined targets. A vote is its likeliest choice and the third (low, middle, high) of its confidence. The
    student is the mean of a discriminant analysis of q on the other folds, and a probe that learned the combined
    targets of the other folds with `product`. Class proportions stay those of the combined targets; no gold is used.

    If the analysis of the combined targets does not agree with them beyond chance, they stay as they are; if it agrees
    less with the votes than these with one another, the student is believed by that share (`trust`). After the
    first round a row's votes reach its own student indirectly, through q of other rows.

    Source:
        Ours; learning from crowds together with a classifier is Raykar et al. 2010 (JMLR 11), cross-fitting is
        Chernozhukov et al. 2018 (arXiv 1608.00060).
    """

    takes_votes: ClassVar[bool] = True

    rounds: int = 3
    """How often student and votes inform each other."""
    folds: int = 5
    """Number of folds, each labelled by a student of the others."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.folds < 2:
            raise ConfigError(
                "A parameter of `refine: in_the_loop` is out of range.", found=self, wanted="rounds ≥ 1, folds ≥ 2"
            )

    def choices(self, rows: Rows, targets: ChoiceTargets, strong: StrongReader, *, seed: int) -> ChoiceRefinement:
        """Return the posterior; see `Refiner.choices`. Targets without votes count as the votes of one supervisor."""
        return self(strong.features(rows), targets, seed=seed)

    def __call__(self, features: NDArray[np.float32], targets: ChoiceTargets, *, seed: int = 0) -> ChoiceRefinement:
        """Return the posterior from features (N, D) and targets with votes (N, M, K).

        Raises:
            DataError: There are fewer rows of positive weight than folds, or the features are of other rows.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> truth = rng.integers(0, 2, 200)
            >>> features = np.eye(2)[truth] + rng.normal(0, 0.3, (200, 2))
            >>> votes = np.eye(2)[np.where(rng.random((200, 3)) < 0.3, 1 - truth[:, None], truth[:, None])]
            >>> ids = tuple(map(str, range(200)))
            >>> targets = ChoiceTargets(ids, votes.mean(axis=1), np.ones(200), votes, np.ones(3))
            >>> found = InTheLoop()(features.astype(np.float32), targets)
            >>> bool((found.targets.probs.argmax(axis=1) == truth).mean() > 0.95)
            True
        """
        check_features(features, targets)
        weights, taught = targets.weights, int((targets.weights > 0).sum())
        if taught < self.folds:
            raise DataError(
                f"Too few rows for {self.folds} folds.",
                found=f"{taught} rows with a target",
                fix="Lower `folds` of `refine: in_the_loop`, or give more unlabelled rows.",
            )
        points, votes = principal_components(features), targets.votes
        symbols = vote_symbols(targets.probs[:, None] if votes is None else votes)
        wanted = weights @ targets.probs / weights.sum()

        def matched(probs: Array) -> Array:
            # Rows that are certain cannot move to the proportions, or only in thousands of iterations.
            clipped = np.where(wanted > 0, np.maximum(probs, _LEAST), 0)
            return match_proportions(clipped / clipped.sum(axis=1, keepdims=True), wanted, weights=weights)

        def student(learner: Learner, inputs: Array, labels: Array, part: int) -> Array:
            return matched(cross_fitted(learner, inputs, labels, weights, folds=self.folds, seed=seed + part))

        learned = student(discriminant, points, targets.probs, 0)
        agreement = kappa(learned, targets.probs, weights)
        if agreement[0] <= 2 * agreement[1]:
            return ChoiceRefinement(ChoiceTargets(targets.ids, targets.probs, weights), agreement=agreement)
        believed = trust(symbols, learned, weights)
        sharpened = student(_probe(seed), features.astype(np.float64), targets.probs, 1)

        def refined(learned: Array) -> Array:
            said = believed * matched((learned + sharpened) / 2) + (1 - believed) * wanted
            prior = (1 - _DOUBT) * said + _DOUBT / len(wanted)
            # Counted under the student alone, votes would be forgotten where the features say little.
            return matched(prior * evidence(symbols, (prior + targets.probs) / 2, weights) ** _TEMPER)

        posterior = refined(learned)
        for number in range(1, self.rounds):
            posterior = refined(student(discriminant, points, posterior, number + 1))
        return ChoiceRefinement(ChoiceTargets(targets.ids, posterior, weights), agreement=agreement)


def principal_components(features: NDArray[np.float32]) -> Array:
    """Return the leading principal components of centred features (N, D) scaled to unit length; at most 256."""
    points = features.astype(np.float64)
    points -= points.mean(axis=0)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    _, axes = np.linalg.eigh(np.cov(points.T).reshape(points.shape[1], -1))
    components: Array = points @ axes[:, ::-1][:, :_COMPONENTS]
    return components


def cross_fitted(learner: Learner, points: Array, targets: Array, weights: Array, *, folds: int, seed: int) -> Array:
    """Return distributions (N, K) by learners that saw no target of the rows that they label.

    Args:
        learner: Learns from the rows of positive weight in all folds but one, and labels that one.
        points: Features, shape (N, D).
        targets: What is learned, shape (N, K).
        weights: Row weights, shape (N,).
        folds: Number of folds.
        seed: Seed of the folds.
    """
    probs = np.empty_like(targets)
    # Rows that teach are dealt out first, so that every fold leaves some.
    order = np.random.default_rng(seed).permutation(len(points))
    order = order[np.argsort(weights[order] <= 0, kind="stable")]
    fold = np.empty(len(points), dtype=np.int64)
    fold[order] = np.arange(len(points)) % folds
    for number in range(folds):
        others = (fold != number) & (weights > 0)
        probs[fold == number] = learner(points[others], targets[others], weights[others], points[fold == number])
    return probs


def discriminant(points: Array, targets: Array, weights: Array, asked: Array) -> Array:
    """Linear discriminant analysis on soft targets, its covariance shrunk half-way to an isotropic one; a `Learner`.

    Source:
        Friedman 1989, Regularized discriminant analysis; soft class membership is ours.
    """
    from scipy.special import softmax

    shares = targets * (weights / weights.sum())[:, None]
    mass = np.maximum(shares.sum(axis=0), 1e-12)
    means = shares.T @ points / mass[:, None]
    within = (points * shares.sum(axis=1)[:, None]).T @ points - (means * mass[:, None]).T @ means
    width = points.shape[1]
    isotropic = max(np.trace(within) / width, 1e-12) * np.eye(width)
    slopes = np.linalg.solve((1 - _SHRINKAGE) * within + _SHRINKAGE * isotropic, means.T)
    probs: Array = softmax(asked @ slopes - (means.T * slopes).sum(axis=0) / 2 + np.log(mass), axis=1)
    return probs


def vote_symbols(votes: Array) -> NDArray[np.int64]:
    """Return what votes (N, M, K) say, shape (N, M): 3 × the likeliest choice + third of confidence; −1 for none.

    Thirds are those of the supervisor's own votes; equal confidences are in the same one.
    """
    symbols = np.full(votes.shape[:2], -1)
    for supervisor in range(votes.shape[1]):
        given = np.flatnonzero(~np.isnan(votes[:, supervisor]).any(axis=1))
        if len(given):
            own = votes[given, supervisor]
            confidence = own.max(axis=1)
            third = np.searchsorted(np.quantile(confidence, [1 / 3, 2 / 3]), confidence)
            symbols[given, supervisor] = 3 * own.argmax(axis=1) + third
    return symbols


def evidence(symbols: NDArray[np.int64], prior: Array, weights: Array) -> Array:
    """Return Π_m p(vote_m | y) for each row, shape (N, K), up to a factor per row.

    p is counted under `prior` (N, K) and smoothed by 2K votes like all of the supervisor's together.
    """
    classes, total = prior.shape[1], np.zeros_like(prior)
    for own in symbols.T:
        given = own >= 0
        if not given.any():
            continue
        said = np.eye(3 * classes)[own[given]] * weights[given, None]
        counts = prior[given].T @ said + 2 * classes * said.sum(axis=0) / max(said.sum(), 1e-12)
        channel = counts / counts.sum(axis=1, keepdims=True)
        total[given] += np.log(np.maximum(channel, 1e-12))[:, own[given]].T
    likelihood: Array = np.exp(total - total.max(axis=1, keepdims=True))
    return likelihood


def trust(symbols: NDArray[np.int64], learned: Array, weights: Array) -> float:
    """Return the agreement of a student (N, K) with votes (N, M) as a share of that of two votes, at most 1.

    Both are corrected for chance. It is 1 where no two votes meet, or agree no more than by chance.

    Source:
        Fleiss 1971, Measuring nominal scale agreement among many raters; the share is ours.

    Example:
        >>> symbols = 3 * np.array([[0, 0], [1, 1], [0, 0], [1, 1]])
        >>> [trust(symbols, np.eye(2)[said], np.ones(4)) for said in ([0, 1, 0, 1], [0, 1, 1, 1])]
        [1.0, 0.5]
    """
    said, classes = np.zeros_like(learned), learned.shape[1]
    for own in symbols.T:
        given = np.flatnonzero(own >= 0)
        said[given, own[given] // 3] += 1
    votes, student, shares = said.sum(axis=1), np.eye(classes)[learned.argmax(axis=1)], weights @ said
    shares = shares / max(shares.sum(), 1e-12)
    pairs, chance = weights @ (votes * (votes - 1)), shares @ shares
    among = (weights @ (said * (said - 1)).sum(axis=1) - chance * pairs) / max((1 - chance) * pairs, 1e-12)
    chance = shares @ (weights @ student) / weights.sum()
    own = (weights @ (said * student).sum(axis=1) / max(weights @ votes, 1e-12) - chance) / max(1 - chance, 1e-12)
    return float(np.clip(own / among, 0, 1)) if among > 0 else 1.0


def kappa(one: Array, other: Array, weights: Array) -> tuple[float, float]:
    """Return Cohen's κ of the likeliest choices of two (N, K), and its standard error if they are independent.

    κ is 1 where the choices are the same, and 0 as by chance or where both are constant.

    Source:
        Cohen 1960, A coefficient of agreement for nominal scales.

    Example:
        >>> one = np.eye(2)[[0, 0, 1, 1]]
        >>> kappa(one, one, np.ones(4)), kappa(one, one[[0, 2, 1, 3]], np.ones(4))
        ((1.0, 0.5), (0.0, 0.5))
    """
    shares = weights / weights.sum()
    first, second = (np.eye(one.shape[1])[each.argmax(axis=1)] for each in (one, other))
    same, chance = shares @ (first * second).sum(axis=1), (shares @ first) @ (shares @ second)
    if chance >= 1:
        return 0.0, 0.0
    # Of the simple form; rows count as (Σw)² / Σw².
    return float((same - chance) / (1 - chance)), float(np.sqrt(chance / (1 - chance) * (shares**2).sum()))


def _probe(seed: int) -> Learner:
    """Return a learner: a probe trained with the objective `product`."""

    def learner(points: Array, targets: Array, weights: Array, asked: Array) -> Array:
        import torch

        from outgrow.objectives.robust import Product
        from outgrow.train.probe import Probe

        seen, goals, counts, unseen = (
            torch.tensor(each, dtype=torch.float32) for each in (points, targets, weights, asked)
        )
        logits = Probe.logits(Probe().fit(seen, goals, counts, Product(), seed=seed), unseen)
        return np.asarray(logits.double().softmax(-1).numpy())

    return learner

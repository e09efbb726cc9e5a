"""How supervisors agree: second moments, from which shared errors and near-copies are estimated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots

Array = NDArray[np.float64]
MOST_PAIRS = 2000
"""Most supervisors for which pairs are counted: it takes M² numbers, which few shared rows would support."""
NEVER_DIFFER = 0.99
"""Correlation from which two supervisors count as one without further evidence."""
LEAST_TOGETHER = 50
"""Rows that two supervisors must share for `NEVER_DIFFER` to apply."""
_LEAST_TOLD = 12.5
"""The same for any suspicion, times the standard deviations of their votes: of few rare labels that coincide, standard
errors say nothing. Of two labels, equally often, that is 25 rows."""
_STANDARD_ERRORS = 4.0
"""How many standard errors the excess of copies must exceed its limit by; more among many tetrads."""
_VOTES = 2**18
_PAIRS_TAKE = 20.0
"""Seconds for all pairs of votes of all rows, where a product of matrices takes one."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pairwise moments of M supervisors' votes, as vectors of K probabilities."""

    together: Array
    """Rows that both voted on, shape (M, M)."""
    product: Array
    """Mean inner product of the two votes on those rows, shape (M, M); zero where there are none."""
    mean: Array
    """Mean vote of each, shape (M, K); zero for one that never votes."""

    @classmethod
    def of(cls, ballots: Ballots) -> Agreement:
        """Count the moments in blocks of votes; beside the votes this takes memory for M² numbers."""
        filled = len(ballots.row) / max(ballots.rows * len(ballots.names), 1)
        count = _over_matrices if _PAIRS_TAKE * filled**2 > 1 + ballots.choices else _over_pairs
        together, product = count(ballots)
        return cls(together, product / np.maximum(together, 1.0), mean_vote(ballots, np.ones(ballots.rows)))

    def merged(self, kept: int, gone: int, pooled: Ballots) -> Agreement:
        """Return the moments where one supervisor was pooled into another, from the votes after that."""
        vote_on, own = np.full(pooled.rows, -1), np.flatnonzero(pooled.supervisor == kept)
        vote_on[pooled.row[own]] = own
        other = np.flatnonzero(vote_on[pooled.row] >= 0)
        together, product = (np.delete(np.delete(each, gone, 0), gone, 1) for each in (self.together, self.product))
        met, agreed = np.zeros((2, len(together)))
        for moment, values in zip((met, agreed), _agreed(pooled, vote_on[pooled.row[other]], other), strict=True):
            np.add.at(moment, pooled.supervisor[other], values)
        together[kept] = together[:, kept] = met
        product[kept] = product[:, kept] = agreed / np.maximum(met, 1.0)
        return Agreement(together, product, mean_vote(pooled, np.ones(pooled.rows)))

    def correlation(self, explained: Array | None = None) -> Array:
        """Return the correlation of votes beyond what is explained, shape (M, M); zero for constant votes.

        What is explained are expected inner products (M, M), by default those of unrelated votes.
        """
        if explained is None:
            explained = self.mean @ self.mean.T
        covariance = self.product - explained
        # Rounding leaves constant supervisors with a variance that is not quite zero.
        variance = np.maximum(np.diag(covariance), 0.0)
        scale = np.sqrt(np.outer(variance, variance))
        known = (self.together > 0) & (scale > 1e-12)
        return np.where(known, np.clip(covariance / np.where(known, scale, 1.0), -1.0, 1.0), 0.0)


def agreement_of(ballots: Ballots) -> Agreement | None:
    """Return how the supervisors agree; None without votes or with more than `MOST_PAIRS` supervisors."""
    return Agreement.of(ballots) if len(ballots.names) <= MOST_PAIRS and len(ballots.row) else None


def mean_vote(ballots: Ballots, weights: Array) -> Array:
    """Return each supervisor's mean vote over rows with weights (N,), shape (M, K); zero for one that never votes."""
    people, k = len(ballots.names), ballots.choices
    times, sums = ballots.count * weights, np.zeros(k * people)
    for start in range(0, len(ballots.row), _VOTES):
        part = slice(start, start + _VOTES)
        own, person = times[ballots.row[part]], ballots.supervisor[part].astype(np.int64)
        if ballots.probs is None:
            np.add.at(sums, ballots.label[part] * people + person, own)
        else:
            for answer, column in enumerate(ballots.probs[part].T):
                np.add.at(sums, answer * people + person, own * column)
    total = sums.reshape(k, people).T
    mass = total.sum(axis=1, keepdims=True)
    mean: Array = total / np.where(mass > 0, mass, 1.0)
    return mean


def find_copies(
    ballots: Ballots,
    *,
    excess: float,
    least: float = 0.0,
    unexplained: float | None = None,
    agreement: Agreement | None = None,
) -> tuple[tuple[int, ...], ...]:
    """Return groups of near-copies, sorted indices of two or more supervisors, merging the most suspicious pair first.

    Any two of a group correlate by at least `least`, and the groups that were merged by more than `excess` beyond what
    is explained. With `unexplained` none are returned where, with all of them pooled, a correlation still exceeds that
    by more than so much, and otherwise only those that are needed for it.

    If i and j err independently given the answer, then r_ij = r_ik·r_jl / r_kl for any other k and l (the tetrads
    of one common factor). Near-copies agree far beyond that. In "four copies of a 65 % voter and two independent 85 %
    voters" the tetrads are broken both for the copies (.90 against .09) and for the honest pair (.49 against .05):
    votes cannot say which of the two blocks is the truth. The pair with the largest excess is taken for copies and
    pooled, then the next one is looked for.

    Source:
        Tetrads: Spearman 1904; dependent classifiers found from them: Jaffe et al. 2016 (arXiv 1510.05830); the greedy
        order and the confidence bound are ours.
    """
    groups: list[tuple[int, ...]] = [(index,) for index in range(len(ballots.names))]
    if len(groups) > MOST_PAIRS:
        return ()
    agreement = agreement or Agreement.of(ballots)
    alike = agreement.correlation()
    while suspects := list(_suspicious(agreement, excess, alike >= least)):
        first, second = suspects[-1]
        alike[first] = alike[:, first] = np.minimum(alike[first], alike[second])
        alike = np.delete(np.delete(alike, second, axis=0), second, axis=1)
        groups[first] = tuple(sorted(groups[first] + groups[second]))
        del groups[second]
        agreement = agreement.merged(first, second, pool(ballots, tuple(groups)))
    found = tuple(group for group in groups if len(group) > 1)
    if unexplained is None:
        return found
    if any(_suspicious(agreement, unexplained)):
        return ()
    for group in found:
        fewer = tuple(each for each in found if each != group)
        if not any(_suspicious(Agreement.of(pool(ballots, fewer)), unexplained)):
            found = fewer
    return found


def pool(ballots: Ballots, groups: tuple[tuple[int, ...], ...], *, ties_apart: bool = False) -> Ballots:
    """Merge each of some disjoint groups into one supervisor: its members' mean vote on a row, or their majority.

    Supervisors in no group stay alone, after the groups. A tie of plain choices is an abstention; with `ties_apart` and
    more than two choices one supporter of each tied label votes there, as a further supervisor: the answer is more
    likely among these labels.
    """
    grouped = {member for group in groups for member in group}
    groups = groups + tuple((index,) for index in range(len(ballots.names)) if index not in grouped)
    new_index = np.zeros(len(ballots.names), dtype=np.int64)
    for index, group in enumerate(groups):
        new_index[list(group)] = index
    names = tuple(" + ".join(ballots.names[member] for member in group) for group in groups)
    if len(groups) == len(ballots.names):
        return dataclasses.replace(ballots, supervisor=new_index[ballots.supervisor], names=names)
    several = np.bincount(new_index) > 1
    copied = several[new_index[ballots.supervisor]]
    theirs, others = ballots.select(copied), ballots.select(~copied)
    others = dataclasses.replace(others, supervisor=new_index[others.supervisor])
    every = np.multiply(theirs.row, len(groups), dtype=np.int64) + new_index[theirs.supervisor]
    cell, entry = np.unique(every, return_inverse=True)
    counts = np.bincount(entry)
    probs = np.stack([np.bincount(entry, column) / counts for column in theirs.distributions().T], axis=1)
    row, supervisor = np.divmod(cell, len(groups))
    together = dataclasses.replace(others, row=row, supervisor=supervisor, label=probs.argmax(axis=1), probs=probs)
    if ballots.probs is not None:
        return _joined(names, together, others)
    first, second = np.sort(probs, axis=1)[:, [-1, -2]].T
    decided = dataclasses.replace(together.select(first > second), probs=None)
    if not ties_apart or ballots.choices == 2 or len(decided.row) == len(row):
        return _joined(names, decided, others)
    tie = np.flatnonzero((first == second)[entry] & (probs[entry, theirs.label] == first[entry]))
    supporters = np.zeros(len(entry), dtype=np.bool_)
    supporters[tie[np.unique(every[tie] * ballots.choices + theirs.label[tie], return_index=True)[1]]] = True
    tied = theirs.select(supporters)
    apart = tuple(f"{name}, where copies differ" for name in ballots.names)
    tied = dataclasses.replace(tied, supervisor=len(names) + tied.supervisor)
    return _joined(names + apart, decided, others, tied)


def _joined(names: tuple[str, ...], *parts: Ballots) -> Ballots:
    """The votes of all parts, by row; indices take the bytes that those of the last part do."""
    columns: dict[str, Any] = {}
    for name in ("row", "supervisor", "label", "probs"):
        own = [getattr(each, name) for each in parts]
        columns[name] = None if own[-1] is None else np.concatenate(own, dtype=own[-1].dtype)
    order = np.argsort(columns["row"], kind="stable")
    columns = {name: None if column is None else column[order] for name, column in columns.items()}
    return dataclasses.replace(parts[0], names=names, **columns)


def _suspicious(
    agreement: Agreement, excess: float, alike: NDArray[np.bool_] | bool = True
) -> Iterator[tuple[int, int]]:
    """Pairs, alike, whose correlation exceeds what is explained by more than `excess` and than any pair before."""
    correlation, together = agreement.correlation(), agreement.together
    variance = np.maximum(np.diag(agreement.product) - (agreement.mean**2).sum(axis=1), 1e-12)
    # Of an inner product between 0 and 1 the standard deviation is at most a half: with many choices that is less.
    error = np.minimum(0.5 / np.sqrt(np.outer(variance, variance)), 1.0) / np.sqrt(np.maximum(together, 1.0))
    # The largest of n normal deviates is about √(2 ln n); there are M⁴/4 tetrads.
    deviates = max(_STANDARD_ERRORS, float(np.sqrt(2 * np.log(max(len(error) ** 4 / 4, 1.0)))))
    told = together * np.sqrt(np.outer(variance, variance)) >= _LEAST_TOLD
    identical = told & (correlation >= NEVER_DIFFER) & (together >= LEAST_TOGETHER)
    limit = np.where(identical, np.inf, np.where(told & alike, correlation - deviates * error, -np.inf))
    first, second = np.triu_indices(len(limit), k=1)
    order = np.flatnonzero(limit[first, second] > excess)
    order = order[np.argsort(-limit[first, second][order], kind="stable")]
    best = excess
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if limit[i, j] <= best:
            break
        beyond = tetrad_excess(correlation, error, i, j, deviates)
        if identical[i, j]:
            beyond = max(beyond, excess) + 1.0
        if beyond > best:
            best = beyond
            yield i, j


def tetrad_excess(r: Array, error: Array, i: int, j: int, deviates: float = _STANDARD_ERRORS) -> float:
    """Largest lower confidence bound over all tetrads of r_ij − |r_ik·r_jl / r_kl|; −∞ if there is none to judge by."""
    r_ik, r_jl = r[i][:, None], r[j]
    worst = np.maximum(np.maximum(error, error[i][:, None]), np.maximum(error[j], error[i, j]))
    usable = np.abs(r) > 5 * worst
    usable[[i, j]] = usable[:, [i, j]] = False
    np.fill_diagonal(usable, False)
    if not usable.any():
        return -np.inf
    r_kl = np.where(usable, r, 1.0)
    explained = np.abs(r_ik * r_jl / r_kl)
    spread = worst * np.sqrt(1 + (r_jl / r_kl) ** 2 + (r_ik / r_kl) ** 2 + (explained / r_kl) ** 2)
    return float((r[i, j] - explained - deviates * spread)[usable].max())


def _over_pairs(ballots: Ballots) -> Array:
    """How often each two supervisors met, and the sum of their votes' inner products, by pairs of votes, (2, M, M)."""
    people, row = len(ballots.names), ballots.row
    found = np.zeros((2, people * people))
    for start in range(0, len(row), _VOTES):
        first, distance = np.arange(start, min(start + _VOTES, len(row))), 0
        while len(first):
            second = first + distance
            pair = ballots.supervisor[first].astype(np.int64) * people + ballots.supervisor[second]
            for moment, values in zip(found, _agreed(ballots, first, second), strict=True):
                np.add.at(moment, pair, values if distance else values / 2)  # the transpose is added
            distance += 1
            first = first[first + distance < len(row)]
            first = first[row[first + distance] == row[first]]
    both = found.reshape(2, people, people)
    return both + both.transpose(0, 2, 1)


def _over_matrices(ballots: Ballots) -> Array:
    """The same by products of matrices, which is faster where nearly everyone votes on every row."""
    people, k = len(ballots.names), ballots.choices
    found, block = np.zeros((2, people, people)), max(1, _VOTES // people)
    ends = np.searchsorted(ballots.row, np.arange(0, ballots.rows + block, block))
    for start, part in enumerate(slice(*pair) for pair in pairwise(ends.tolist())):
        row, times = ballots.row[part] - start * block, ballots.count[start * block :][:block, None]
        label = ballots.label[part]
        of_answer = (label == answer for answer in range(k)) if ballots.probs is None else ballots.probs[part].T
        for answer, values in enumerate((np.ones(len(row)), *of_answer)):
            votes = np.zeros((len(times), people))
            np.add.at(votes, (row, ballots.supervisor[part]), values)
            found[min(answer, 1)] += votes.T @ (times * votes)
    return found


def _agreed(ballots: Ballots, first: NDArray[np.intp], second: NDArray[np.intp]) -> tuple[Array | float, Array]:
    """How often each pair of votes occurs, and that times the inner product of the two."""
    times = 1.0 if ballots.repeats is None else ballots.repeats[ballots.row[first]]
    if ballots.probs is None:
        return times, times * (ballots.label[first] == ballots.label[second])
    return times, times * np.einsum("vk,vk->v", ballots.probs[first], ballots.probs[second])

"""How supervisors agree: second moments, from which shared errors and near-copies are estimated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import SMALL, Ballots, Index

Array = NDArray[np.float64]
MOST_PAIRS = 2000
"""Most supervisors for which pairs are counted: it takes M² numbers, which few shared rows would support."""
NEVER_DIFFER = 0.99
"""Correlation from which two supervisors count as one without further evidence."""
LEAST_TOGETHER = 50
"""Rows that two supervisors must share for `NEVER_DIFFER` to apply."""
_STANDARD_ERRORS = 4.0
"""How many standard errors the excess of copies must exceed its limit by; more among many tetrads."""
_ROWS = 50_000


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
        """Count the moments in blocks of rows; beside the votes this takes memory for M² numbers."""
        people, k = len(ballots.names), ballots.choices
        together, product, total = np.zeros((people, people)), np.zeros((people, people)), np.zeros(people * k)
        ends = np.searchsorted(ballots.row, np.arange(0, ballots.rows + _ROWS, _ROWS))
        block = min(_ROWS, ballots.rows)
        for start, part in enumerate(slice(*pair) for pair in pairwise(ends.tolist())):
            row, person = ballots.row[part] - start * _ROWS, ballots.supervisor[part]
            weight = np.ones(len(row)) if ballots.repeats is None else ballots.repeats[ballots.row[part]]
            together += _gram(np.ones(len(row)), weight, row, person, (block, people))
            values, answer = np.ones(len(row)), ballots.label[part]
            if ballots.probs is not None:
                values, answer = ballots.probs[part].ravel(), np.tile(np.arange(k), len(row))
                row, person, weight = np.repeat(row, k), np.repeat(person, k), np.repeat(weight, k)
            cell = np.multiply(row, k, dtype=np.int64) + answer
            product += _gram(values, weight, cell, person, (block * k, people))
            cell = np.multiply(person, k, dtype=np.int64) + answer
            total += np.bincount(cell, weight * values, minlength=people * k)
        votes = np.maximum(ballots.per_supervisor, 1)[:, None]
        return cls(together, product / np.maximum(together, 1.0), total.reshape(people, k) / votes)

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


def find_copies(
    ballots: Ballots, *, excess: float, least: float = 0.0, agreement: Agreement | None = None
) -> tuple[tuple[int, ...], ...]:
    """Return groups of near-copies, sorted indices of two or more supervisors, merging the most suspicious pair first.

    Any two of a group correlate by at least `least`, and the groups that were merged by more than `excess` beyond what
    is explained; above 1 none are found.

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
    while (pair := _most_suspicious(agreement, excess, alike >= least)) is not None:
        first, second = pair
        alike[first] = alike[:, first] = np.minimum(alike[first], alike[second])
        alike = np.delete(np.delete(alike, second, axis=0), second, axis=1)
        groups[first] = tuple(sorted(groups[first] + groups[second]))
        del groups[second]
        agreement = Agreement.of(pool(ballots, tuple(groups)))
    return tuple(group for group in groups if len(group) > 1)


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
    every = np.multiply(ballots.row, len(groups), dtype=np.int64) + new_index[ballots.supervisor]
    cell, entry = np.unique(every, return_inverse=True)
    counts = np.bincount(entry)
    probs = np.stack([np.bincount(entry, column) / counts for column in ballots.distributions().T], axis=1)
    row, supervisor = np.divmod(cell, len(groups))
    label = probs.argmax(axis=1)
    together = dataclasses.replace(ballots, row=row, supervisor=supervisor, label=label, probs=probs, names=names)
    if ballots.probs is not None:
        return together
    first, second = np.sort(probs, axis=1)[:, [-1, -2]].T
    decided = dataclasses.replace(together.select(first > second), probs=None)
    if not ties_apart or ballots.choices == 2 or len(decided.row) == len(row):
        return decided
    tie = np.flatnonzero((first == second)[entry] & (probs[entry, ballots.label] == first[entry]))
    supporters = np.zeros(len(entry), dtype=np.bool_)
    supporters[tie[np.unique(every[tie] * ballots.choices + ballots.label[tie], return_index=True)[1]]] = True
    tied = ballots.select(supporters)
    columns = (decided.row, tied.row), (decided.supervisor, len(names) + tied.supervisor), (decided.label, tied.label)
    apart = tuple(f"{name}, where copies differ" for name in ballots.names)
    found = Ballots.from_labels(
        *map(np.concatenate, columns), rows=ballots.rows, choices=ballots.choices, names=names + apart
    )
    return dataclasses.replace(found, repeats=ballots.repeats)


def is_explained(ballots: Ballots, *, excess: float) -> bool:
    """Return whether no correlation exceeds what one common answer explains by `excess` and significantly."""
    agreement = Agreement.of(ballots)
    correlation, error = agreement.correlation(), 1.0 / np.sqrt(np.maximum(agreement.together, 1.0))
    first, second = np.triu_indices(len(correlation), k=1)
    suspects = np.argsort(-correlation[first, second])  # the likeliest first: one is enough
    pairs = zip(first[suspects].tolist(), second[suspects].tolist(), strict=True)
    return all(_excess(correlation, error, i, j) <= excess for i, j in pairs)


def _most_suspicious(agreement: Agreement, excess: float, alike: NDArray[np.bool_]) -> tuple[int, int] | None:
    correlation, together = agreement.correlation(), agreement.together
    error = 1.0 / np.sqrt(np.maximum(together, 1.0))
    identical = (correlation >= NEVER_DIFFER) & (together >= LEAST_TOGETHER)
    possible = identical | (alike & (correlation - _STANDARD_ERRORS * error > excess))
    best, found = excess, None
    for i, j in np.argwhere(np.triu(possible, k=1)).tolist():
        beyond = _excess(correlation, error, i, j)
        if identical[i, j]:
            beyond = max(beyond, excess) + 1.0
        if beyond > best:
            best, found = beyond, (i, j)
    return found


def _excess(r: Array, error: Array, i: int, j: int) -> float:
    """Largest lower confidence bound over all tetrads of r_ij − |r_ik·r_jl / r_kl|; −∞ if there is none to judge by."""
    others = np.delete(np.arange(len(r)), [i, j])
    r_kl, r_ik, r_jl = r[np.ix_(others, others)], r[i, others][:, None], r[j, others][None, :]
    worst = np.maximum(np.maximum(error[np.ix_(others, others)], error[i, others][:, None]), error[j, others][None, :])
    worst = np.maximum(worst, error[i, j])
    usable = (np.abs(r_kl) > 5 * worst) & ~np.eye(len(others), dtype=bool)
    if not usable.any():
        return -np.inf
    r_kl = np.where(usable, r_kl, 1.0)
    explained = np.abs(r_ik * r_jl / r_kl)
    spread = worst * np.sqrt(1 + (r_jl / r_kl) ** 2 + (r_ik / r_kl) ** 2 + (explained / r_kl) ** 2)
    # The largest of n normal deviates is about √(2 ln n); there are M⁴/4 tetrads.
    deviates = max(_STANDARD_ERRORS, float(np.sqrt(2 * np.log(len(r) ** 4 / 4))))
    bound = np.where(usable, r[i, j] - explained - deviates * spread, -np.inf)
    return float(bound.max())


def _gram(values: Array, weight: Array, row: Index, column: Index, shape: tuple[int, int]) -> Array:
    """AᵀWA of a sparse matrix A with a weight per row, shape (columns, columns)."""
    if shape[0] * shape[1] <= SMALL:
        dense = np.zeros(shape)
        np.add.at(dense, (row, column), values)
        weights = np.zeros((shape[0], 1))
        weights[row, 0] = weight
        return dense.T @ (weights * dense)
    from scipy import sparse

    left = sparse.csr_matrix((values * weight, (row, column)), shape)
    right = sparse.csr_matrix((values, (row, column)), shape)
    found: Array = (left.T @ right).toarray()
    return found

"""Near-copies: supervisors that agree more than being right explains."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import MOST_PAIRS, Agreement
from outgrow.combine.ballots import Ballots

NEVER_DIFFER = 0.99
"""Correlation from which two supervisors count as one without further evidence."""
LEAST_TOGETHER = 50
"""Rows that two supervisors must share for `NEVER_DIFFER` to apply."""


def find_copies(
    ballots: Ballots, *, excess: float, standard_errors: float = 4.0, agreement: Agreement | None = None
) -> tuple[tuple[int, ...], ...]:
    """Return groups of near-copies, two or more supervisors each, merging the most suspicious pair first.

    If i and j err independently given the answer, then r_ij = r_ik·r_jl / r_kl for any other k and l (the tetrads
    of one common factor). Near-copies agree far beyond that. In "four copies of a 65 % voter and two independent 85 %
    voters" the tetrads are broken both for the copies (.90 against .09) and for the honest pair (.49 against .05):
    votes cannot say which of the two blocks is the truth. The pair with the largest excess is taken for copies and
    pooled, then the next one is looked for.

    Source:
        Tetrads: Spearman 1904; dependent classifiers found from them: Jaffe et al. 2016 (arXiv 1510.05830); the greedy
        order and the confidence bound are ours.

    Args:
        ballots: The votes.
        excess: Correlation beyond the explained one that makes two supervisors copies; above 1 none are found.
        standard_errors: How many standard errors the excess must exceed that by.
        agreement: How the supervisors agree, where that is counted already.

    Returns:
        Groups as sorted supervisor indices.
    """
    groups: list[tuple[int, ...]] = [(index,) for index in range(len(ballots.names))]
    if len(groups) > MOST_PAIRS:
        return ()
    agreement = agreement or Agreement.of(ballots)
    while (pair := _most_suspicious(agreement, excess, standard_errors)) is not None:
        first, second = pair
        groups[first] = tuple(sorted(groups[first] + groups[second]))
        del groups[second]
        agreement = Agreement.of(pool(ballots, tuple(groups)))
    return tuple(group for group in groups if len(group) > 1)


def pool(ballots: Ballots, groups: tuple[tuple[int, ...], ...]) -> Ballots:
    """Merge each of some disjoint groups into one supervisor: its members' mean vote on a row, or their majority.

    Supervisors in no group stay alone, after the groups.
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
    return together if ballots.probs is not None else _favourite(together)


def _favourite(ballots: Ballots) -> Ballots:
    """Plain choices by majority within each group; a tie is an abstention."""
    assert ballots.probs is not None
    first, second = np.sort(ballots.probs, axis=1)[:, [-1, -2]].T
    return dataclasses.replace(ballots.select(first > second), probs=None)


def _most_suspicious(agreement: Agreement, excess: float, standard_errors: float) -> tuple[int, int] | None:
    correlation, together = agreement.correlation(), agreement.together
    error = 1.0 / np.sqrt(np.maximum(together, 1.0))
    identical = (correlation >= NEVER_DIFFER) & (together >= LEAST_TOGETHER)
    possible = identical | (correlation - standard_errors * error > excess)
    best, found = excess, None
    for i, j in np.argwhere(np.triu(possible, k=1)).tolist():
        beyond = _excess(correlation, error, i, j, standard_errors)
        if identical[i, j]:
            beyond = max(beyond, excess) + 1.0
        if beyond > best:
            best, found = beyond, (i, j)
    return found


def _excess(r: NDArray[np.float64], error: NDArray[np.float64], i: int, j: int, standard_errors: float) -> float:
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
    bound = np.where(usable, r[i, j] - explained - standard_errors * spread, -np.inf)
    return float(bound.max())

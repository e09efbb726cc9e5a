"""Diagnostics of a combination: accuracies, shared errors, and what votes cannot identify."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import Agreement, mean_vote
from outgrow.combine.ballots import Ballots
from outgrow.combine.result import Diagnostics, Posterior

Array = NDArray[np.float64]

_Z = 1.959964
_LEAST = 1e-9
"""Votes, so that nothing is divided by zero."""
_SIGNIFICANT = 3.0
"""Shared errors within this many standard errors of zero are set to zero; more among many pairs."""
_FEW_GOLD = 30
_MOST_SHARED = 0.75
"""Warn of shared errors where the effective number is below this share of the supervisors."""
_MORE_THAN_CLAIMED = 0.02
"""Mention estimated accuracies that exceed the supervisors' own mean confidence by more than this."""


def shared_errors(ballots: Ballots, probs: Array, agreement: Agreement | None) -> Array | None:
    """Return the correlation of the supervisors' votes that the answer does not explain, shape (M, M).

    Zero where two share too few rows for it to be significant; ones on the diagonal. None where agreement is not known.
    """
    if agreement is None:
        return None
    people, k = len(ballots.names), ballots.choices
    balance = (ballots.count * ballots.has_votes) @ probs
    balance /= max(balance.sum(), 1.0)
    expected = np.zeros((people, people))
    for answer in range(k):
        mean = mean_vote(ballots, probs[:, answer])
        expected += balance[answer] * mean @ mean.T
    correlation = agreement.correlation(expected)
    # The largest of n normal deviates is about √(2 ln n).
    threshold = max(_SIGNIFICANT, float(np.sqrt(4 * np.log(people))))
    significant = np.abs(correlation) * np.sqrt(agreement.together) > threshold
    correlation = np.where(significant, correlation, 0.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def effective_supervisors(ballots: Ballots, errors: Array | None) -> float:
    """Return the effective number of independent supervisors: Σ_m 1 / Σ_j max(ρ_mj, 0), over those that vote.

    Source:
        Diversity of order zero with similarities, Leinster & Cobbold 2012; similarity = shared errors, ours.
    """
    active = ballots.per_supervisor > 0
    if errors is None:
        return float(np.count_nonzero(active))
    similarity = np.maximum(errors[np.ix_(active, active)], 0.0)
    return float((1.0 / similarity.sum(axis=1)).sum()) if active.any() else 0.0


def describe(ballots: Ballots, posterior: Posterior, gold: NDArray[np.int64], errors: Array | None) -> Diagnostics:
    """Return accuracies with intervals, copies, shared errors and notes on a combination."""
    votes = ballots.per_supervisor
    right, count = posterior.probs[ballots.row, ballots.label], ballots.count[ballots.row]
    hits = np.bincount(ballots.supervisor, count * right, minlength=len(votes))
    silent = votes == 0
    accuracy = np.where(silent, np.nan, hits / np.maximum(votes, 1))
    apart = count * (right - accuracy[ballots.supervisor]) ** 2
    told = np.bincount(ballots.supervisor, apart, minlength=len(votes)).astype(np.float64)
    unusable = int(ballots.count @ (~ballots.has_votes & (gold < 0)))
    return Diagnostics(
        ballots.names,
        votes,
        accuracy,
        _wilson(accuracy, votes, told),
        tuple(tuple(ballots.names[member] for member in group) for group in posterior.copies),
        errors,
        unusable,
        posterior.shared_evidence,
        (
            *posterior.notes,
            *_oddities(ballots, unusable),
            *_limits(ballots, posterior, gold),
            *_failing_together(ballots, accuracy, gold, errors),
        ),
    )


def _wilson(share: Array, votes: NDArray[np.int64], told: Array) -> Array:
    """Wilson's intervals of accuracies a, from as many votes as tell about them: Σ (r − a)² / (a (1 − a)).

    r is the posterior probability that a vote is right, and (r − a) / (a (1 − a)) its score, whose square is its share
    of the Fisher information (ours). All count where answers are certain; none where r is a, as nothing is known.
    """
    spread = share * (1 - share)
    total = np.divide(told, spread, out=votes.astype(np.float64), where=spread > 0)
    total = np.maximum(total, _LEAST)
    centre = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z * np.sqrt(spread / total + _Z**2 / (4 * total**2)) / (1 + _Z**2 / total)
    return np.stack([centre - half, centre + half], axis=1)


def _oddities(ballots: Ballots, unusable: int) -> list[str]:
    votes, notes = ballots.per_supervisor, []
    if unusable:
        notes.append(
            f"{unusable} of {ballots.count.sum():.0f} rows have no vote: they stay uniform and are not used as targets."
        )
    silent = [ballots.names[index] for index in np.flatnonzero(votes == 0)]
    if silent:
        notes.append(f"Never voted: {_listed(silent)}.")
    kinds = ballots.symbols()[0] // ballots.choices
    one_kind = np.bincount(kinds, minlength=len(votes)) == 1
    soft = ballots.soft_supervisors()
    constant = [ballots.names[index] for index in np.flatnonzero(one_kind & (votes > 1) & ~soft)]
    if constant:
        notes.append(f"Gave the same label to every row, which carries no information: {_listed(constant)}.")
    return notes


def _limits(ballots: Ballots, posterior: Posterior, gold: NDArray[np.int64]) -> list[str]:
    known, notes = int(ballots.count @ (gold >= 0)), []
    if known < _FEW_GOLD:
        notes.append(
            "Votes alone cannot tell supervisors that are right together from supervisors that are wrong together: "
            "the accuracies and confidences here assume that, where they differ, agreement comes from the answer. "
            "A hundred gold rows would check this."
        )
    if int((ballots.per_supervisor > 0).sum()) - sum(len(group) - 1 for group in posterior.copies) < 3:
        notes.append(
            "Fewer than three independent supervisors: which of them is better cannot be estimated from their votes."
        )
    if posterior.copies:
        notes.append(
            "Votes cannot tell copies from independent experts that are nearly always right: the group that agrees "
            "most beyond what the others explain was taken for copies and counts once."
        )
    if rho := posterior.shared_evidence:
        worth = f"{10 / (1 + 9 * rho):.1f} independent ones" if rho < 1 else "one or less"
        notes.append(
            f"Supervisors share evidence (ρ = {rho:.2f}, from held-out votes): ten votes on a row count like {worth}. "
            "What all of them share equally does not show in votes."
        )
    return notes


def _failing_together(ballots: Ballots, accuracy: Array, gold: NDArray[np.int64], errors: Array | None) -> list[str]:
    voices = np.count_nonzero(ballots.per_supervisor)
    independent = effective_supervisors(ballots, errors)
    if ballots.count @ (gold >= 0) >= _FEW_GOLD or independent > _MOST_SHARED * voices:
        return []
    note = (
        f"Supervisors share errors that the answer does not explain ({voices} amount to {independent:.1f}): if they "
        "are wrong together, the accuracies, intervals and confidences here are too high."
    )
    soft = ballots.soft_supervisors()
    if ballots.probs is None or not soft.any():
        return [note]
    votes = np.maximum(ballots.per_supervisor, 1)
    claimed = np.bincount(ballots.supervisor, ballots.probs.max(axis=1), minlength=len(votes)) / votes
    claims, found = float(claimed[soft].mean()), float(accuracy[soft].mean())
    if found > claims + _MORE_THAN_CLAIMED:
        note += f" Their own probabilities claim {claims:.0%} on average, their agreement makes it {found:.0%}."
    return [note]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

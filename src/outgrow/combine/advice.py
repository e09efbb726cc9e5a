"""Advice on votes without gold: who is how good, whether the votes suffice, how to combine, which rows to label."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.combined import Combined
from outgrow.labels.notes import Note, Severity

Array = NDArray[np.float64]
Use = Literal["measure", "correct"]

ENOUGH = 0.95
"""Expected accuracy from which votes suffice as labels."""
_UNSURE = 0.8
_FEW_INDEPENDENT = 3


def votes_advice(combined: Combined) -> list[Note]:
    """Return what `combine(votes, "dependence")` says about supervisors, votes and the choice of a combiner.

    The codes are `advice.supervisors`, `advice.votes` and `advice.combine`; `outgrow.report.advice` words them.

    Example:
        >>> from outgrow.combine import combine
        >>> random = np.random.default_rng(0)
        >>> truth = random.integers(0, 2, 1000)
        >>> labels = [np.where(random.random(1000) < right, truth, 1 - truth) for right in (0.9, 0.8, 0.7, 0.7)]
        >>> [note.code for note in votes_advice(combine(np.stack(labels, axis=1)))]
        ['advice.supervisors', 'advice.votes', 'advice.combine']
    """
    votes = _votes(combined)
    used = {name: votes.values[name] for name in ("rows", "without_votes", "gold")}
    return [_supervisors(combined), votes, Note("advice.combine", values=used)]


def expected_accuracy(combined: Combined) -> float:
    """Return the mean probability of the answers to rows with votes and without gold; NaN without such rows.

    Of open answers, a row on which most likely nobody is right has none.
    """
    share, right = _unknown(combined), _confidence(combined)
    return float(share @ right / share.sum()) if share.any() else float("nan")


class RowToLabel(NamedTuple):
    """A row whose gold answer is worth having."""

    row: int
    """Its place among the N rows."""
    use: Use
    """`measure`: drawn at random, so that accuracy on these rows is that of all. `correct`: among the least certain."""
    confidence: float
    """Probability of the combined answer; without votes that of a guess."""
    entropy: float
    """Entropy of the posterior, in nats."""


def rows_to_label(combined: Combined, count: int = 100, *, seed: int = 0) -> list[RowToLabel]:
    """Return up to `count` rows drawn at random, then up to `count` others of the highest posterior entropy.

    Rows with gold are left out. Only random rows say how accurate labels are (and calibrate `dependence`, as gold);
    uncertain ones correct more labels for each answer (`benchmarks/advise.py`).

    Example:
        >>> from outgrow.combine import combine
        >>> found = rows_to_label(combine([[0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]], "majority"), 1)
        >>> [each.use for each in found], found[1].row
        (['measure', 'correct'], 1)
    """
    merged = combined.merged
    probs = combined.posterior.probs
    entropy = -(probs * np.log(np.maximum(probs, np.finfo(float).tiny))).sum(axis=1)
    confidence = probs.max(axis=1)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(merged.gold[merged.of_row] < 0))
    measured, others = order[:count], order[count:]
    least = others[np.argsort(-entropy[merged.of_row[others]], kind="stable")][:count]
    uses: list[tuple[Use, NDArray[np.intp]]] = [("measure", measured), ("correct", least)]
    return [
        RowToLabel(int(row), use, float(confidence[merged.of_row[row]]), float(entropy[merged.of_row[row]]))
        for use, rows in uses
        for row in rows
    ]


def _unknown(combined: Combined) -> Array:
    """How many rows without gold, but with votes, each line stands for."""
    ballots = combined.merged.ballots
    found: Array = ballots.count * (ballots.has_votes & (combined.merged.gold < 0))
    return found


def _confidence(combined: Combined) -> Array:
    probs = combined.posterior.probs
    best: Array = probs.max(axis=1)
    return np.where(probs.argmax(axis=1) < probs.shape[1] - 1, best, 0.0) if combined.merged.ballots.open else best


def _above_chance(combined: Combined) -> int:
    """How many supervisors certainly know something."""
    about = combined.diagnostics
    return int((about.accuracy_interval[about.votes > 0, 0] > _chance(combined)).sum())


def _chance(combined: Combined) -> float:
    ballots = combined.merged.ballots
    return 0.0 if ballots.open else 1 / ballots.choices


def _supervisors(combined: Combined) -> Note:
    about = combined.diagnostics
    voting = np.flatnonzero(about.votes)
    independent = len(voting) - sum(len(group) - 1 for group in about.copies)
    chance = _chance(combined)
    above = _above_chance(combined)
    below = [about.names[m] for m in voting if about.accuracy_interval[m, 1] < chance]
    # Of supervisors with few votes the estimate is mostly prior, so the ends of the intervals decide.
    ends = {
        "best": max(voting, key=lambda m: about.accuracy_interval[m, 0]),
        "worst": min(voting, key=lambda m: about.accuracy_interval[m, 1]),
    } if len(voting) else {}  # fmt: skip
    severity: Severity = "caution" if below or not above or independent < _FEW_INDEPENDENT else "info"
    values = {
        "supervisors": len(voting),
        "silent": len(about.names) - len(voting),
        "independent": independent,
        "effective": combined.effective_supervisors,
        "copies": [list(group) for group in about.copies],
        "below_chance": below,
        "above_chance": above,
        "mean": float(about.votes @ np.nan_to_num(about.accuracy) / max(about.votes.sum(), 1)),
        **{
            end: {"name": about.names[m], "accuracy": [about.accuracy[m], *about.accuracy_interval[m]]}
            for end, m in ends.items()
        },
    }
    return Note("advice.supervisors", severity, values=values)


def _votes(combined: Combined) -> Note:
    about, share, ballots = combined.diagnostics, _unknown(combined), combined.merged.ballots
    rows = float(share.sum())
    expected = expected_accuracy(combined)
    unsure = float(share @ (_confidence(combined) < _UNSURE) / rows) if rows else 0.0
    enough = expected >= ENOUGH
    voted = float(ballots.count @ ballots.has_votes)
    values = {
        "verdict": "enough" if enough else "short",
        "expected": expected,
        "unsure": unsure,
        "rows": len(combined.merged.of_row),
        "without_votes": about.rows_without_votes,
        "per_row": float(about.votes.sum() / voted) if voted else 0.0,
        "above_chance": _above_chance(combined),
        "gold": int(ballots.count @ (combined.merged.gold >= 0)),
        "effective": combined.effective_supervisors,
        "shared_evidence": about.shared_evidence,
    }
    return Note("advice.votes", "info" if enough else "caution", values=values)

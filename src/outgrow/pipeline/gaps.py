"""Votes and gold answers that are missing: of which supervisors, on how many rows, and what is known without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from outgrow.labels import ChoiceVotes, Note, Predictions

MOST_NAMED = 5
"""Up to this many supervisors with missing votes get a note each; more are summed up."""


def gap_notes(votes: ChoiceVotes) -> list[Note]:
    """Return what a reader should know of the missing votes of M supervisors.

    Example:
        >>> given, nothing = [0.0, 1.0], [np.nan, np.nan]
        >>> probs = np.array([[given, nothing, nothing], [given, given, nothing]])
        >>> [(note.code, note.who) for note in gap_notes(ChoiceVotes(("a", "b"), ("ann", "bob", "eve"), probs))]
        [('votes.none', None), ('votes.some_missing', 'bob')]
    """
    silence = np.isnan(votes.probs).all(axis=2).mean(axis=0)
    partly = {name: float(share) for name, share in zip(votes.supervisors, silence, strict=True) if 0 < share < 1}
    mute = [name for name, share in zip(votes.supervisors, silence, strict=True) if share == 1]
    notes = [Note("votes.none", "warning", values={"supervisors": mute})] if mute else []
    for name, count in Counter(name for _, name in votes.errors).items():
        first = next(text for (_, own), text in votes.errors.items() if own == name)
        values = {"failed": count, "rows": len(votes.ids), "first": first[:200]}
        notes.append(Note("votes.failed", "warning", name, values=values))
    if len(partly) <= MOST_NAMED:
        notes += [Note("votes.some_missing", "info", name, values={"share": share}) for name, share in partly.items()]
    else:
        about = {"several": len(partly), "supervisors": len(votes.supervisors)}
        least, most = min(partly.values()), max(partly.values())
        notes.append(Note("votes.many_missing", "info", values={**about, "least": least, "most": most}))
    return notes


def not_evaluated(predictions: Mapping[tuple[str, str], Sequence[Predictions]]) -> Note:
    """Return what is known of supervisors without any gold answer, from the first run of each.

    `votes` counts those of all `supervisors`, `coverage` is the share of rows with a vote, `agreement` that of equal
    ones among all pairs of votes on one row (None without pairs), and `expected` the mean probability of each
    combination's answers: its accuracy if the posterior is calibrated.

    Example:
        >>> one = Predictions(("a", "b"), ("no", "yes"), {}, np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> other = Predictions(("a", "b"), ("no", ""), {}, np.array([[0.6, 0.4], [np.nan, np.nan]]))
        >>> not_evaluated({("supervisor", "ann"): [one], ("supervisor", "bob"): [other]}).values["agreement"]
        1.0
    """
    first = {who: runs[0].probs for who, runs in predictions.items()}
    votes = np.array([probs for (role, _), probs in first.items() if role == "supervisor" and probs is not None])
    voted = ~np.isnan(votes).any(axis=2)
    given = np.where(voted, votes.argmax(axis=2), -1)
    count = voted.sum(axis=0)
    equal = sum(own * (own - 1) for own in ((given == answer).sum(axis=0) for answer in range(votes.shape[2])))
    pairs = int((count * (count - 1)).sum())
    expected = {
        name: float(np.nanmean(probs.max(axis=1)))
        for (role, name), probs in first.items()
        if role == "combined" and probs is not None
    }
    values: dict[str, Any] = {
        "supervisors": len(given),
        "votes": int(voted.sum()),
        "coverage": float(voted.any(axis=0).mean()),
    }
    values |= {"agreement": float(np.sum(equal)) / pairs if pairs else None, "expected": expected}
    return Note("run.not_evaluated", "warning", values=values)

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

    `votes` (of free answers `texts`) counts those of all `supervisors`, `coverage` is the share of rows with one,
    `agreement` that of equal ones among all pairs on one row (None without pairs), and `expected` the mean probability
    of each combination's answers: its accuracy if the posterior is calibrated.

    Example:
        >>> one = Predictions(("a", "b"), ("no", "yes"), {}, np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> other = Predictions(("a", "b"), ("no", ""), {}, np.array([[0.6, 0.4], [np.nan, np.nan]]))
        >>> not_evaluated({("supervisor", "ann"): [one], ("supervisor", "bob"): [other]}).values["agreement"]
        1.0
    """
    first = {who: runs[0] for who, runs in predictions.items()}
    answers = [own.answers for (role, _), own in first.items() if role == "supervisor"]
    given = [[answer for answer in row if answer] for row in zip(*answers, strict=True)]
    pairs = sum(len(row) * (len(row) - 1) for row in given)
    equal = sum(count * (count - 1) for row in given for count in Counter(row).values())
    expected = {
        name: float(np.nanmean(own.probs.max(axis=1)))
        for (role, name), own in first.items()
        if role == "combined" and own.probs is not None
    }
    free = all(own.probs is None for own in first.values())
    values: dict[str, Any] = {
        "supervisors": len(answers),
        "texts" if free else "votes": sum(map(len, given)),
        "coverage": float(np.mean([bool(row) for row in given])) if given else 0.0,
        "agreement": equal / pairs if pairs else None,
        "expected": expected,
    }
    return Note("run.not_evaluated", "warning", values=values)

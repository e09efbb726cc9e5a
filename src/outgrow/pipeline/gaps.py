"""Votes that are missing: of which supervisors, on how many rows, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np

from outgrow.labels import ChoiceVotes, Note

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

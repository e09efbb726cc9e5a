"""Votes that were not given: who said nothing, about how much, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np

from outgrow.labels import ChoiceVotes

MOST_NAMED = 5
"""So many supervisors are named one by one; more are told of together."""


def gap_notes(votes: ChoiceVotes) -> list[str]:
    """What a reader should know of the votes of M supervisors that are not there.

    Example:
        >>> given, nothing = [0.0, 1.0], [np.nan, np.nan]
        >>> probs = np.array([[given, nothing, nothing], [given, given, nothing]])
        >>> for note in gap_notes(ChoiceVotes(("a", "b"), ("ann", "bob", "eve"), probs)):
        ...     print(note)
        Left out for want of any vote on the unlabelled and test rows: eve.
        bob says nothing about 50% of the rows; there it counts as a uniform guess.
    """
    silence = np.isnan(votes.probs).all(axis=2).mean(axis=0)
    partly = {name: share for name, share in zip(votes.supervisors, silence, strict=True) if 0 < share < 1}
    mute = [name for name, share in zip(votes.supervisors, silence, strict=True) if share == 1]
    notes = []
    if mute:
        notes.append(f"Left out for want of any vote on the unlabelled and test rows: {_listed(mute)}.")
    failures = Counter(name for _, name in votes.errors)
    for name, count in failures.items():
        first = next(text for (_, own), text in votes.errors.items() if own == name)
        notes.append(f"{name} failed on {count} of {len(votes.ids)} rows, first with: {first[:200]}")
    if len(partly) <= MOST_NAMED:
        for name, share in partly.items():
            notes.append(
                f"{name} says nothing about {_percent(share)} of the rows; there it counts as a uniform guess."
            )
    else:
        least, most = _percent(min(partly.values())), _percent(max(partly.values()))
        notes.append(
            f"{len(partly)} of {len(votes.supervisors)} supervisors say nothing about some rows, {least} to {most} of "
            f"them; there they count as uniform guesses."
        )
    return notes


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "under 1%"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")

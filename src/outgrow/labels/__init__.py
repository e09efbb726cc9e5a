"""The records that every room passes on: rows, what supervisors said, what a student learns, what it answered.

All are frozen, check themselves when made, and go to and from Arrow unchanged.
"""

from __future__ import annotations

from outgrow.labels.choice import ChoiceTargets, ChoiceVotes, Status, check_probabilities
from outgrow.labels.predictions import Predictions, Weighted
from outgrow.labels.preference import PreferencePairs
from outgrow.labels.rows import PARTS, Part, Rows, positions
from outgrow.labels.text import Completion, Opinion, TextLabels, TextStatus, TextTargets, with_leading_space

__all__ = [
    "PARTS",
    "ChoiceTargets",
    "ChoiceVotes",
    "Completion",
    "Opinion",
    "Part",
    "Predictions",
    "PreferencePairs",
    "Rows",
    "Status",
    "TextLabels",
    "TextStatus",
    "TextTargets",
    "Weighted",
    "check_probabilities",
    "positions",
    "with_leading_space",
]

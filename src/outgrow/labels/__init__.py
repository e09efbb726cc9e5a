"""Records that the packages exchange: rows, votes, texts, training targets, predictions and notes.

All are frozen and validated on construction. Notes go to and from JSON, the others to and from Arrow, unchanged.
"""

from __future__ import annotations

from outgrow.labels.choice import ChoiceTargets, ChoiceVotes, Status, check_probabilities
from outgrow.labels.columns import positions
from outgrow.labels.notes import SEVERITIES, Note, Severity
from outgrow.labels.preference import PreferencePairs
from outgrow.labels.rows import PARTS, Part, Predictions, Rows, Weighted
from outgrow.labels.text import Completion, Opinion, TextLabels, TextStatus, TextTargets, with_leading_space

__all__ = [
    "PARTS",
    "SEVERITIES",
    "ChoiceTargets",
    "ChoiceVotes",
    "Completion",
    "Note",
    "Opinion",
    "Part",
    "Predictions",
    "PreferencePairs",
    "Rows",
    "Severity",
    "Status",
    "TextLabels",
    "TextStatus",
    "TextTargets",
    "Weighted",
    "check_probabilities",
    "positions",
    "with_leading_space",
]

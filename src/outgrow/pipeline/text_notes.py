"""Notes on the texts that models wrote: missing, empty, repeating or refusing ones, how they ended, entropies."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from outgrow.labels import Note, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.refine.audit import refuses

_SURE = 0.005
"""Nats a token below which an entropy would be shown as zero."""


def text_notes(
    labels: TextLabels, part: Literal["unlabelled", "test"] | None = None, seed: int | None = None
) -> list[Note]:
    """Return how many best texts of each supervisor are missing, empty, repeating or refusing."""
    found = []
    for m, name in enumerate(labels.supervisors):
        best = [labels.best(row, m) for row in range(len(labels.ids))]
        kinds = Counter("missing" if one is None else one.status for one in best)
        kinds["refusing"] = sum(one is not None and refuses(one.text) for one in best)
        reasons = Counter(reason for (_, who), reason in labels.errors.items() if who == name).most_common(1)
        for kind in ("missing", "empty", "repeating", "refusing"):
            if kinds[kind]:
                values = {"count": kinds[kind], "rows": len(best)} | ({} if part is None else {"part": part})
                why = {"why": reasons[0][0]} if kind == "missing" and reasons else {}
                found.append(Note(f"texts.{kind}", "caution", name, seed, {**values, **why}))
    return found


def cut_notes(labels: TextLabels, options: GenerateOptions) -> list[Note]:
    """Return how many best texts of each supervisor were cut at their length; none where stop strings cut texts too."""
    found = []
    for m, name in enumerate(labels.supervisors):
        best = [labels.best(row, m) for row in range(len(labels.ids))]
        cut = sum(one is not None and one.status == "open" for one in best)
        if cut and not options.stop:
            values = {"count": cut, "rows": len(best), "most": options.max_new_tokens}
            found.append(Note("texts.cut", "caution", name, values=values))
    return found


def entropy_notes(labels: TextLabels, seed: int) -> list[Note]:
    """Return how the best texts of each supervisor ended, and quartiles of their entropy in nats a token.

    Nothing for a supervisor that ended all of its texts and was sure of every one. The entropy is that of
    `TextLabels.entropies`; where nothing but one greedy text is known, its mean token surprise.
    """
    entropies = labels.entropies()
    found = []
    for m, name in enumerate(labels.supervisors):
        best = [labels.best(row, m) for row in range(len(labels.ids))]
        kinds = Counter(one.status for one in best if one is not None)
        known = entropies[~np.isnan(entropies[:, m]), m]
        quartiles = np.quantile(known, (0.25, 0.5, 0.75)).tolist() if len(known) else []
        unsure = bool(quartiles) and quartiles[2] >= _SURE
        if kinds and (unsure or set(kinds) != {"finished"}):
            values = {"endings": dict(kinds), "entropy": quartiles if unsure else []}
            found.append(Note("texts.endings", "info", name, seed, values))
    return found

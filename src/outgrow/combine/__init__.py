"""Combining what several supervisors said about a row into one target.

`combine` is the function for people who bring their own votes; `Mean`, `Majority`, `DawidSkene` and `Dependence` are
what an experiment file names. `rank` makes preference pairs of candidates; `surest` keeps the rows whose targets are
surest.
"""

from __future__ import annotations

from outgrow.combine.ballots import Ballots
from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.combined import Combined
from outgrow.combine.combiner import (
    ChoiceCombiner,
    CombinedTexts,
    Combiner,
    PosteriorCombiner,
    TextCombiner,
    WeighingCombiner,
)
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.dependence import Dependence
from outgrow.combine.joint_decoding import JointDecoding
from outgrow.combine.mean import Majority, Mean
from outgrow.combine.methods import combine
from outgrow.combine.ranking import Ranking, Spread, rank
from outgrow.combine.result import Diagnostics
from outgrow.combine.targets import surest
from outgrow.combine.texts import gold_targets, joint_scores, naive_targets, pool, score_matrices, standardised
from outgrow.combine.weights import agreement_weights

__all__ = [
    "Ballots",
    "ChoiceCombiner",
    "Combined",
    "CombinedTexts",
    "Combiner",
    "DawidSkene",
    "Dependence",
    "Diagnostics",
    "JointDecoding",
    "Majority",
    "Mean",
    "PosteriorCombiner",
    "Ranking",
    "Spread",
    "TextCombiner",
    "WeighingCombiner",
    "agreement_weights",
    "apply_temperatures",
    "combine",
    "fit_temperatures",
    "gold_targets",
    "joint_scores",
    "naive_targets",
    "pool",
    "rank",
    "score_matrices",
    "standardised",
    "surest",
]

"""Combining what several supervisors said about a row into one target.

`combine` is the function for people who bring their own votes; `Mean`, `Majority`, `DawidSkene` and `Dependence` are
what an experiment file names. `rank` makes preference pairs of candidates; `surest` keeps the rows whose targets are
surest.
"""

from __future__ import annotations

from outgrow.combine.ballots import Ballots
from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.dependence import Dependence
from outgrow.combine.filtering import surest
from outgrow.combine.joint_decoding import JointDecoding, agreement_weights, joint_scores
from outgrow.combine.majority import Majority
from outgrow.combine.mean import Mean
from outgrow.combine.methods import combine
from outgrow.combine.ranking import Ranking, Spread, rank
from outgrow.combine.result import Combined, Diagnostics
from outgrow.combine.scaling import standardised

__all__ = [
    "Ballots",
    "Combined",
    "DawidSkene",
    "Dependence",
    "Diagnostics",
    "JointDecoding",
    "Majority",
    "Mean",
    "Ranking",
    "Spread",
    "agreement_weights",
    "apply_temperatures",
    "combine",
    "fit_temperatures",
    "joint_scores",
    "rank",
    "standardised",
    "surest",
]

"""Scores, their intervals, and the gap between weak supervisors and the strong ceiling. Needs no torch."""

from outgrow.evaluate.accuracy import choice_scores, exact_match, token_f1
from outgrow.evaluate.compare import summarise
from outgrow.evaluate.gap import Gap, performance_gap
from outgrow.evaluate.intervals import SignTest, resampled_means, sign_test
from outgrow.evaluate.slu import SluCounts, SluScore, slu_counts, slu_f1
from outgrow.evaluate.summary import Comparison, Estimate, Line, MetricSummary, Standing, Summary

__all__ = [
    "Comparison",
    "Estimate",
    "Gap",
    "Line",
    "MetricSummary",
    "SignTest",
    "SluCounts",
    "SluScore",
    "Standing",
    "Summary",
    "choice_scores",
    "exact_match",
    "performance_gap",
    "resampled_means",
    "sign_test",
    "slu_counts",
    "slu_f1",
    "summarise",
    "token_f1",
]

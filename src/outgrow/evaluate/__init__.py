"""Scores, intervals, calibration, judges, and the performance gap recovered. Needs no torch."""

from outgrow.evaluate.accuracy import choice_scores, exact_match, token_f1
from outgrow.evaluate.calibration import (
    Certainty,
    brier_scores,
    calibration_error,
    confidences,
    negative_log_likelihoods,
    reliability_bins,
    wilson_interval,
)
from outgrow.evaluate.compare import summarise
from outgrow.evaluate.gap import performance_gap
from outgrow.evaluate.intervals import resampled_means
from outgrow.evaluate.judge import Rubric, agreement, judge_accuracy, preference_accuracy, rate
from outgrow.evaluate.selective import error_bins, error_detection, risk_coverage
from outgrow.evaluate.slu import slu_counts, slu_f1
from outgrow.evaluate.summary import ModelScores, Summary
from outgrow.evaluate.sweeps import find_sweeps
from outgrow.evaluate.text_metrics import ChrF, FinalAnswer, MathAnswer, RougeL, final_answer
from outgrow.evaluate.tiny import estimate_benchmark
from outgrow.evaluate.variance import holm, mean_scores

__all__ = [
    "Certainty",
    "ChrF",
    "FinalAnswer",
    "MathAnswer",
    "ModelScores",
    "RougeL",
    "Rubric",
    "Summary",
    "agreement",
    "brier_scores",
    "calibration_error",
    "choice_scores",
    "confidences",
    "error_bins",
    "error_detection",
    "estimate_benchmark",
    "exact_match",
    "final_answer",
    "find_sweeps",
    "holm",
    "judge_accuracy",
    "mean_scores",
    "negative_log_likelihoods",
    "performance_gap",
    "preference_accuracy",
    "rate",
    "reliability_bins",
    "resampled_means",
    "risk_coverage",
    "slu_counts",
    "slu_f1",
    "summarise",
    "token_f1",
    "wilson_interval",
]

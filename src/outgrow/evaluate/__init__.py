"""Scores, intervals, calibration, judges, and the performance gap recovered. Needs no torch."""

from outgrow.evaluate.accuracy import choice_scores, exact_match, token_f1
from outgrow.evaluate.calibration import (
    Bin,
    Certainty,
    brier_scores,
    calibration_error,
    confidences,
    negative_log_likelihoods,
    reliability_bins,
    wilson_interval,
)
from outgrow.evaluate.compare import summarise
from outgrow.evaluate.final_answers import FinalAnswer, final_answer
from outgrow.evaluate.gap import Gap, performance_gap
from outgrow.evaluate.intervals import SignTest, resampled_means, sign_test
from outgrow.evaluate.judge import Agreement, Ratings, Rubric, agreement, rate
from outgrow.evaluate.preference import JudgeAccuracy, judge_accuracy, preference_accuracy
from outgrow.evaluate.selective import error_bins, error_detection, risk_coverage
from outgrow.evaluate.slu import SluCounts, SluScore, slu_counts, slu_f1
from outgrow.evaluate.summary import (
    CalibrationLine,
    CalibrationSummary,
    Comparison,
    Estimate,
    Line,
    MetricSummary,
    ModelScores,
    Summary,
    SweepPoint,
    SweepSummary,
    SweptMetric,
    VacuitySummary,
)
from outgrow.evaluate.sweeps import Sweep, find_sweeps
from outgrow.evaluate.text_metrics import ChrF, ExactMatch, RougeL, TextMetric, TokenF1
from outgrow.evaluate.tiny import TinyEstimate, estimate_benchmark

__all__ = [
    "Agreement",
    "Bin",
    "CalibrationLine",
    "CalibrationSummary",
    "Certainty",
    "ChrF",
    "Comparison",
    "Estimate",
    "ExactMatch",
    "FinalAnswer",
    "Gap",
    "JudgeAccuracy",
    "Line",
    "MetricSummary",
    "ModelScores",
    "Ratings",
    "RougeL",
    "Rubric",
    "SignTest",
    "SluCounts",
    "SluScore",
    "Summary",
    "Sweep",
    "SweepPoint",
    "SweepSummary",
    "SweptMetric",
    "TextMetric",
    "TinyEstimate",
    "TokenF1",
    "VacuitySummary",
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
    "judge_accuracy",
    "negative_log_likelihoods",
    "performance_gap",
    "preference_accuracy",
    "rate",
    "reliability_bins",
    "resampled_means",
    "risk_coverage",
    "sign_test",
    "slu_counts",
    "slu_f1",
    "summarise",
    "token_f1",
    "wilson_interval",
]

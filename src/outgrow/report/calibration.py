"""What a page says about calibration: a table, figures, and sentences that name who is too sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outgrow.evaluate.calibration import BINS, PROBABILITY_FLOOR
from outgrow.evaluate.summary import CalibrationLine, CalibrationSummary, Estimate
from outgrow.evaluate.wording import estimate_text, share_text
from outgrow.report.panels import reliability_diagram, vacuity_plot
from outgrow.report.table import ORDER
from outgrow.report.words import typeset

_MOST_NAMED = 8
"""Names in a sentence; the table has them all."""
_COIN = 0.5
"""Area under the ROC curve of what knows nothing of errors."""


def calibration_section(calibration: CalibrationSummary) -> dict[str, Any]:
    """What the template needs to know about calibration; figures are the only markup in it."""
    from markupsafe import Markup

    lines = [line for role in ORDER for line in calibration.lines if line.role == role]
    shown = [line for line in lines if line.role in ("student", "ceiling")]
    evidential = [line for line in shown if line.vacuity]
    against = next((line.against for line in lines if line.against), None)
    return {
        "bins": BINS,
        "against": against,
        "rows": [
            {"name": line.name, "role": line.role, "cells": [_cell(*each) for each in _numbers(line, against)]}
            for line in lines
        ],
        "sentences": [typeset(text) for text in calibration_sentences(calibration)],
        "reliability": Markup(reliability_diagram(shown, "reliability")) if shown else None,
        "vacuity": Markup(vacuity_plot(evidential, "vacuity")) if evidential else None,
        "names": ", ".join(line.name for line in shown),
        "evidential": ", ".join(line.name for line in evidential),
    }


def _numbers(line: CalibrationLine, against: str | None) -> Iterator[tuple[Estimate | None, bool]]:
    """Each number of a row, and whether it is a difference."""
    yield line.error, False
    if against is not None:
        yield line.error_change, True
    yield line.overconfidence, True
    yield line.brier, False
    yield line.nll, False


def _cell(estimate: Estimate | None, signed: bool) -> tuple[str, str]:
    """Number and interval."""
    if estimate is None:
        return "", ""
    value, _, interval = estimate_text(estimate.value, estimate.interval, signed=signed, separator="\n").partition("\n")
    return typeset(value), typeset(interval)


def calibration_sentences(calibration: CalibrationSummary) -> tuple[str, ...]:
    """Who among students and ceiling is too sure, who is better calibrated, and where vacuity tells of errors.

    A difference whose interval holds zero is not called one.

    Example:
        >>> from outgrow.evaluate import Certainty, ModelScores, summarise
        >>> sure = Certainty.of_choices([[0.9, 0.1]] * 100, [0] * 60 + [1] * 40)
        >>> summary = summarise([ModelScores("naive", "student", {"accuracy": sure.correct}, certainty=sure)], {})
        >>> print(*calibration_sentences(summary.calibration))
        Overconfident, surer than they are right: “naive” (by .300 [.210, .390]).
    """
    judged = [line for line in calibration.lines if line.role in ("student", "ceiling")]
    impossible = [line for line in calibration.lines if line.impossible]
    return (*_about_confidence(judged), *_about_changes(judged), *_about_vacuity(judged), *_about_nll(impossible))


def _about_confidence(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    over, under, neither = _by_sign([(line, line.overconfidence) for line in lines])
    if over:
        yield f"Overconfident, surer than they are right: {_named(over)}."
    if under:
        shortfall = [(line, _negated(own)) for line, own in under]
        yield f"Underconfident, less sure than they are right: {_named(shortfall)}."
    if neither:
        named = _named(neither, by="", signed=True)
        yield f"On average as sure as they are right, as far as these examples tell: {named}."


def _about_changes(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    changes = [(line, line.error_change) for line in lines if line.error_change]
    against = next((line.against for line in lines if line.against), None)
    worse, better, neither = _by_sign(changes)
    for found, verdict in ((better, "Better calibrated than"), (worse, "Worse calibrated than")):
        if found:
            yield f"{verdict} “{against}”, by the calibration error: {_named(found, by='', signed=True)}."
    if neither:
        yield f"Not to be told from “{against}” by the calibration error: {_named(neither, by='', signed=True)}."


def _about_vacuity(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    found = [(line, line.vacuity.detection) for line in lines if line.vacuity and line.vacuity.detection]
    verdicts = ("tells where they err", "misleads about where they err", "cannot be shown to tell where they err")
    for part, verdict in zip(_by_sign(found, middle=_COIN), verdicts, strict=True):
        if part:
            yield f"Vacuity {verdict}: {'; '.join(_areas(line) for line, _ in part)}."


def _areas(line: CalibrationLine) -> str:
    """AUROC of vacuity, and of confidence for comparison."""
    areas = (line.vacuity.detection, line.vacuity.confidence_detection) if line.vacuity else ()
    texts = [estimate_text(each.value, each.interval) for each in areas if each]
    return f"{_who(line)}, AUROC " + ", of confidence ".join(texts)


def _about_nll(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    if lines:
        named = ", ".join(f"{_who(line)} ({share_text(line.impossible)})" for line in lines[:_MOST_NAMED])
        more = f" and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
        yield (
            "Some right answers were called impossible. Each counts as if its probability had been "
            f"{PROBABILITY_FLOOR:g}, which makes up much of the NLL of {named}{more}."
        )


_Found = tuple[CalibrationLine, Estimate]


def _by_sign(found: Sequence[_Found], *, middle: float = 0.0) -> tuple[list[_Found], list[_Found], list[_Found]]:
    """Those whose interval lies above the middle, below it, and around it; without an interval nothing can be told."""
    parts: tuple[list[_Found], list[_Found], list[_Found]] = [], [], []
    for each in found:
        low, high = each[1].interval or (middle, middle)
        parts[0 if low > middle else 1 if high < middle else 2].append(each)
    return parts


def _named(found: Sequence[_Found], *, by: str = "by ", signed: bool = False) -> str:
    """Names with their numbers, the largest first."""
    order = sorted(found, key=lambda each: -abs(each[1].value))
    shown = [
        f"{_who(line)} ({by}{estimate_text(own.value, own.interval, signed=signed)})"
        for line, own in order[:_MOST_NAMED]
    ]
    return ", ".join(shown) + (f" and {len(order) - _MOST_NAMED} more" if len(order) > _MOST_NAMED else "")


def _who(line: CalibrationLine) -> str:
    return "the ceiling" if line.role == "ceiling" else f"“{line.name}”"


def _negated(estimate: Estimate) -> Estimate:
    interval = estimate.interval
    return Estimate(-estimate.value, None if interval is None else (-interval[1], -interval[0]))

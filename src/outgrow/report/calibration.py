"""The section of the report on calibration: a table, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outgrow.evaluate.calibration import BINS, PROBABILITY_FLOOR
from outgrow.evaluate.summary import CalibrationLine, CalibrationSummary, Estimate
from outgrow.evaluate.wording import share_text
from outgrow.report.panels import reliability_diagram, vacuity_plot
from outgrow.report.words import ORDER, estimate_cell, typeset

_MOST_NAMED = 8
"""Names in a sentence; the table has them all."""
_CHANCE_AUROC = 0.5


def calibration_section(calibration: CalibrationSummary) -> dict[str, Any]:
    """Return the values of the template; only figures are marked as safe."""
    from markupsafe import Markup

    lines = [line for role in ORDER for line in calibration.lines if line.role == role]
    shown = [line for line in lines if line.role in ("student", "ceiling")]
    evidential = [line for line in shown if line.vacuity]
    against = next((line.against for line in lines if line.against), None)
    return {
        "bins": BINS,
        "against": against,
        "rows": [
            {"name": line.name, "role": line.role, "cells": [estimate_cell(*each) for each in _numbers(line, against)]}
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


def calibration_sentences(calibration: CalibrationSummary) -> tuple[str, ...]:
    """Return which students are over- or underconfident or better calibrated, and whose vacuity detects errors.

    Differences whose interval holds zero are reported as not shown.
    """
    trained = [line for line in calibration.lines if line.role in ("student", "ceiling")]
    clipped = [line for line in calibration.lines if line.impossible]
    return (*_about_confidence(trained), *_about_changes(trained), *_about_vacuity(trained), *_about_nll(clipped))


def _about_confidence(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    over, under, neither = _by_sign([(line, line.overconfidence) for line in lines])
    if over:
        yield f"Overconfident (mean confidence above accuracy): {_named(over)}."
    if under:
        shortfall = [(line, _negated(own)) for line, own in under]
        yield f"Underconfident (mean confidence below accuracy): {_named(shortfall)}."
    if neither:
        named = _named(neither, by="", signed=True)
        yield f"Neither over- nor underconfidence is shown on these examples: {named}."


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
    verdicts = ("detects errors", "is higher for right answers than for errors", "is not shown to detect errors")
    for part, verdict in zip(_by_sign(found, middle=_CHANCE_AUROC), verdicts, strict=True):
        if part:
            yield f"Vacuity {verdict}: {'; '.join(_areas(line) for line, _ in part)}."


def _areas(line: CalibrationLine) -> str:
    """AUROC of vacuity, and of confidence for comparison."""
    areas = (line.vacuity.detection, line.vacuity.confidence_detection) if line.vacuity else ()
    texts = [each.text() for each in areas if each]
    return f"{_who(line)}, AUROC " + ", of confidence ".join(texts)


def _about_nll(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    if lines:
        named = ", ".join(f"{_who(line)} ({share_text(line.impossible)})" for line in lines[:_MOST_NAMED])
        more = f" and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
        yield (
            f"Some right answers have a probability below {PROBABILITY_FLOOR:g}. It is clipped there, which makes up "
            f"much of the NLL of {named}{more}."
        )


_Found = tuple[CalibrationLine, Estimate]


def _by_sign(found: Sequence[_Found], *, middle: float = 0.0) -> tuple[list[_Found], list[_Found], list[_Found]]:
    """Those whose interval lies above the middle, below it, and around it; those without an interval are the last."""
    parts: tuple[list[_Found], list[_Found], list[_Found]] = [], [], []
    for each in found:
        low, high = each[1].interval or (middle, middle)
        parts[0 if low > middle else 1 if high < middle else 2].append(each)
    return parts


def _named(found: Sequence[_Found], *, by: str = "by ", signed: bool = False) -> str:
    """Names with their numbers, the largest first."""
    order = sorted(found, key=lambda each: -abs(each[1].value))
    shown = [f"{_who(line)} ({by}{own.text(signed=signed)})" for line, own in order[:_MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(order) - _MOST_NAMED} more" if len(order) > _MOST_NAMED else "")


def _who(line: CalibrationLine) -> str:
    return "the ceiling" if line.role == "ceiling" else f"“{line.name}”"


def _negated(estimate: Estimate) -> Estimate:
    interval = estimate.interval
    return Estimate(-estimate.value, None if interval is None else (-interval[1], -interval[0]))

"""A summary in sentences, and the order and typography that tables and figures share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from outgrow.evaluate.judge import RATED
from outgrow.evaluate.summary import Estimate, Line, MetricSummary, Role, Summary
from outgrow.evaluate.wording import estimate_text, number_text, probability_text

LEGEND = (
    "Brackets hold 95 % intervals: a paired bootstrap over test examples and seeds, joint for all models. "
    "PGR is the share of the gap between supervisor (the best one, or the mean of all) and ceiling that a student "
    "recovers; the ceiling is the strong model trained on gold labels, the base the same model untouched."
)
ORDER: tuple[Role, ...] = ("supervisor", "base", "student", "ceiling")
"""Order of tables and figures."""
MEAN_SUPERVISOR = "mean of supervisors"
"""Name of the row of the average supervisor, which is not a model."""


def ordered_lines(metric: MetricSummary) -> tuple[Line, ...]:
    """Return the lines in the order of tables, with the mean of several supervisors after them."""
    lines = [line for role in ORDER for line in metric.of(role)]
    supervisors = len(metric.of("supervisor"))
    if supervisors > 1 and metric.mean_supervisor is not None:
        lines.insert(supervisors, Line(MEAN_SUPERVISOR, "supervisor", "", 0, metric.mean_supervisor))
    return tuple(lines)


def typeset(text: str) -> str:
    """Return the text with minus signs instead of hyphens before numbers, and without line breaks in p-values.

    Example:
        >>> typeset("gpt-2 is at -.050")
        'gpt-2 is at −.050'
    """
    return re.sub(r"\bp ([<=]) ", "p\u00a0\\1\u00a0", re.sub(r"(?<![\w-])-(?=\.?\d)", "−", text))


def split_cell(text: str) -> tuple[str, str]:
    """Return number and interval of a cell, which a line break separates, typeset."""
    value, _, interval = text.partition("\n")
    return typeset(value), typeset(interval)


def estimate_cell(estimate: Estimate | None, signed: bool) -> tuple[str, str]:
    """Return number and interval of an estimate, both empty without one."""
    return ("", "") if estimate is None else split_cell(estimate.text(signed=signed, separator="\n"))


def best_student(summary: Summary) -> str | None:
    """Return the student with the highest mean score, averaged over metrics; None without students."""
    scores: dict[str, list[float]] = {}
    for metric in summary.metrics:
        for line in metric.of("student"):
            scores.setdefault(line.name, []).append(line.score.value)
    return max(scores, key=lambda name: sum(scores[name]) / len(scores[name]), default=None)


def headline(summary: Summary) -> str:
    """Return in one sentence whether the best student outgrew its supervisors; the interval of its lead decides."""
    name = best_student(summary)
    if name is None:
        return "No student was trained: these are reference points only."
    if [metric.metric for metric in summary.metrics] == [RATED]:
        return "The answers have no scores: no judge gave a readable rating."
    several = len(summary.metrics) > 1
    verdicts: dict[str, list[str]] = {}
    for metric, line in _lines_of(summary, name):
        verdict, numbers = _verdict(metric, line)
        verdicts.setdefault(verdict, []).append(f"on {metric.metric} ({numbers})" if several else f"({numbers})")
    clauses = [f"{verdict} {' and '.join(places)}" for verdict, places in verdicts.items()]
    return f"“{name}” {', and '.join(clauses)}."


def _verdict(metric: MetricSummary, line: Line) -> tuple[str, str]:
    score, lead = number_text(line.score.value), line.gain_over_best
    if lead is None:
        return "has no supervisor to be compared with", score
    numbers = f"{score} against {number_text(line.score.value - lead.value)}"
    supervisor = "its best supervisor" if len(metric.of("supervisor")) > 1 else "its supervisor"
    verdict = {1: "outgrows", 0: "cannot be told from", -1: "stays below"}[lead.sign]
    return f"{verdict} {supervisor}", numbers


def details(summary: Summary) -> tuple[str, ...]:
    """Return the sentences under the headline: lead, gap and gain of the best student on every metric."""
    name = best_student(summary)
    if name is None:
        return ()
    several = len(summary.metrics) > 1
    found = []
    for metric, line in _lines_of(summary, name):
        sentences = " ".join(_sentences(metric, line))
        found.append(f"{metric.metric.capitalize()}: {sentences}" if several else sentences)
    students = {line.name for metric in summary.metrics for line in metric.of("student")}
    if len(students) > 1:
        found.append(
            f"“{name}” is the one of {len(students)} students with the highest mean score on the test part, so its "
            "numbers are a little flattering."
        )
    return tuple(found)


def _lines_of(summary: Summary, name: str) -> Iterator[tuple[MetricSummary, Line]]:
    for metric in summary.metrics:
        for line in metric.of("student"):
            if line.name == name:
                yield metric, line


def _sentences(metric: MetricSummary, line: Line) -> Iterator[str]:
    yield f"It scores {line.score.text()}."
    if line.gain_over_best is not None:
        yield f"Against the supervisor “{metric.best_supervisor}” that is {line.gain_over_best.text(signed=True)}."
    gap = line.against_best
    if gap is not None and gap.pgr is not None:
        pgr = estimate_text(gap.pgr, gap.pgr_interval, decimals=2)
        yield f"It recovers {pgr} of the gap to the same model trained on gold ({number_text(gap.ceiling)})."
    elif gap is not None:
        yield f"How much of the gap it recovers is undefined, because {gap.reason}."
    if line.gain_over_base is not None:
        yield f"Against the untouched strong model it is {line.gain_over_base.text(signed=True)}."
    test = line.comparison
    if test is not None and not test.wins + test.losses:
        yield f"On no test example does it differ from “{test.against}”."
    elif test is not None:
        yield (
            f"It does better than “{test.against}” on {test.wins} test examples and worse on {test.losses} "
            f"({probability_text(test.p)})."
        )

"""A summary in sentences, and the order and typography that tables and figures share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from outgrow.evaluate.judge import RATED
from outgrow.evaluate.summary import Estimate, Line, MetricSummary, Rival, Role, Summary
from outgrow.evaluate.wording import estimate_text, number_text, probability_text

LEGEND = (
    "Brackets hold 95 % intervals that reflect test examples and training seeds, of which all models share the same. "
    "PGR is the share of the gap between supervisor (the best one, the mean of all, or their best combination) and "
    "ceiling that a student recovers; the ceiling is the strong model trained on gold labels, the base the same model "
    "untouched."
)
ORDER: tuple[Role, ...] = ("supervisor", "combined", "base", "gold", "student", "ceiling")
"""Order of tables and figures."""
MEAN_SUPERVISOR = "mean of supervisors"
"""Name of the row of the average supervisor, which is not a model."""
MOST_SUPERVISORS = 12
"""Of more supervisors tables and figures show the best and the worst only."""


def ordered_lines(metric: MetricSummary) -> tuple[Line, ...]:
    """Return the lines in the order of tables, with the mean of several supervisors after them.

    Those of `folded_lines` are left out.
    """
    folded = folded_lines(metric)
    supervisors = [line for line in metric.of("supervisor") if line not in folded]
    if len(supervisors) > 1 and metric.mean_supervisor is not None:
        supervisors.append(Line(MEAN_SUPERVISOR, "supervisor", "", 0, metric.mean_supervisor))
    return (*supervisors, *(line for role in ORDER if role != "supervisor" for line in metric.of(role)))


def folded_lines(metric: MetricSummary) -> tuple[Line, ...]:
    """Return the supervisors between the best and the worst, where there are more than twelve; the best first."""
    lines = sorted(metric.of("supervisor"), key=lambda line: -line.score.value)
    if len(lines) <= MOST_SUPERVISORS:
        return ()
    return tuple(line for line in lines[1:-1] if line.name != metric.best_supervisor)


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
    """Return in one or two sentences whether the best student outgrew its supervisors.

    It does where it is above every supervisor, their combinations, the untouched strong model and chance, at the 5 %
    level after a correction for the number of students. Otherwise the sentence says which of these it is not above, and
    for a single metric how many seeds or test examples would settle it.
    """
    name = best_student(summary)
    if not summary.metrics:
        return "Not evaluated: no model has scores."
    if name is None:
        return "No student was trained: these are reference points only."
    if [metric.metric for metric in summary.metrics] == [RATED]:
        return "The answers have no scores: no judge gave a readable rating."
    several = len(summary.metrics) > 1
    verdicts: dict[str, list[str]] = {}
    found = list(_lines_of(summary, name))
    for metric, line in found:
        verdict, numbers = _verdict(metric, line)
        verdicts.setdefault(verdict, []).append(f"on {metric.metric} ({numbers})" if several else f"({numbers})")
    clauses = [f"{verdict} {' and '.join(places)}" for verdict, places in verdicts.items()]
    once = " in one training run" if all(line.seeds == 1 for _, line in found) else ""
    settled = "" if several else "".join(f" {text}" for text in _settling(*found[0]))
    return f"“{name}” {', and '.join(clauses)}{once}.{settled}"


def _verdict(metric: MetricSummary, line: Line) -> tuple[str, str]:
    score = number_text(line.score.value)
    if not metric.of("supervisor"):
        return "has no supervisor to be compared with", score
    teachers = [rival for rival in line.rivals if rival.kind in ("supervisor", "combined")]
    if all(rival.sign > 0 for rival in line.rivals):
        return f"outgrows {_named(metric, teachers)}", _numbers(score, teachers)
    # A student below something is not told from the rest too; one that is not below is worth a word on what it beats.
    below = [rival for rival in line.rivals if rival.sign < 0]
    missed = below or [rival for rival in line.rivals if not rival.sign]
    verdict = f"{'stays below' if below else 'cannot be told from'} {_named(metric, missed)}"
    beaten = [rival for rival in teachers if rival.sign > 0]
    if beaten:
        verdict = f"beats {_named(metric, beaten)} but {verdict}"
    return verdict, _numbers(score, [*beaten, *missed])


def _numbers(score: str, rivals: Sequence[Rival]) -> str:
    return f"{score} against {_listed([number_text(rival.score) for rival in rivals])}"


def _named(metric: MetricSummary, rivals: Sequence[Rival]) -> str:
    return _listed([_name(metric, rival) for rival in rivals])


def _name(metric: MetricSummary, rival: Rival) -> str:
    if rival.kind == "supervisor":
        if len(metric.of("supervisor")) == 1:
            return "its supervisor"
        return "its best supervisor" if rival.name == metric.best_supervisor else f"the supervisor “{rival.name}”"
    if rival.kind == "combined":
        several = len(metric.of("combined")) > 1
        return f"the combination “{rival.name}” of its supervisors" if several else "its supervisors combined"
    return "the untouched strong model" if rival.kind == "base" else "chance"


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _settling(metric: MetricSummary, line: Line) -> Iterator[str]:
    # What it would take to beat the rival that is hardest to beat, if the lead is real.
    open_ = [rival for rival in line.rivals if not rival.sign and rival.gain.value > 0]
    if not open_ or any(rival.sign < 0 for rival in line.rivals):
        return
    rival = max(open_, key=lambda each: each.p)
    needs = [f"about {rival.seeds} seeds"] if rival.seeds else []
    needs += [f"about {float(f'{rival.examples:.1e}'):,.0f} test examples"] if rival.examples else []
    take = " or ".join(needs) or "both more seeds and more test examples"
    if needs and line.seeds == 1:
        take += ", and more than one seed"
    yield f"Settling a lead of {number_text(rival.gain.value)} over {_name(metric, rival)} would take {take}."


def details(summary: Summary) -> tuple[str, ...]:
    """Return the sentences under the headline: lead, gap and gain of the best student on every metric."""
    name = best_student(summary)
    if name is None:
        return ()
    several = len(summary.metrics) > 1
    found = []
    for metric, line in _lines_of(summary, name):
        sentences = " ".join([*_sentences(metric, line), *(_settling(metric, line) if several else ())])
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
    gap = line.hardest
    if gap is not None and gap.pgr is not None:
        pgr = estimate_text(gap.pgr, gap.pgr_interval, decimals=2)
        ends = f"{_floor(metric, line)} ({number_text(gap.floor)}) and the same model trained on gold"
        yield f"It recovers {pgr} of the gap between {ends} ({number_text(gap.ceiling)})."
    elif gap is not None:
        yield f"How much of the gap it recovers is undefined, because {gap.reason}."
    if line.gain_over_base is not None:
        yield f"Against the untouched strong model it is {line.gain_over_base.text(signed=True)}."
    for other in metric.of("gold"):
        yield f"The same model trained on the gold rows alone scores {other.score.text()}."
    test = line.comparison
    if test is not None and not test.wins + test.losses:
        yield f"On no test example does it differ from “{test.against}”."
    elif test is not None:
        yield (
            f"It does better than “{test.against}” on {test.wins} test examples and worse on {test.losses} "
            f"({probability_text(test.corrected)})."
        )


def _floor(metric: MetricSummary, line: Line) -> str:
    if line.hardest is line.against_combined:
        return "its supervisors combined"
    if len(metric.of("supervisor")) == 1:
        return "its supervisor"
    return "its best supervisor" if line.hardest is line.against_best else "its average supervisor"


def duration_text(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds.

    Example:
        >>> duration_text(4.41), duration_text(71.9), duration_text(7384)
        ('4.4 s', '1 min 12 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

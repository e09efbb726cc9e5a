"""Advice in words: a finding, its numbers, what makes it doubtful, and what to do next."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outgrow.evaluate.wording import estimate_text, number_text, share_text
from outgrow.labels.notes import OTHER_VALUES, SEVERITIES, Note, Severity
from outgrow.report.table import DEFAULT_WIDTH

Values = Mapping[str, Any]
_MOST_NAMED = 5
_LONGEST_NAME = 40
_FEW_ROWS = 100


@dataclass(frozen=True)
class Finding:
    """A piece of advice."""

    code: str
    """Code of the note that it words."""
    severity: Severity
    title: str
    """The question it answers."""
    reason: str
    """What was found, with its numbers in words."""
    doubt: str
    """What the numbers do not show; empty where nothing is to be said."""
    next_step: str
    """What to do."""
    numbers: Values
    """The values of the note."""


def findings(notes: Sequence[Note]) -> list[Finding]:
    """Return the advice in words, in the order of the notes; notes with other codes or values are left out.

    Example:
        >>> note = Note("advice.combine", values={"rows": 500, "without_votes": 0, "gold": 0})
        >>> findings([note])[0].next_step
        'outgrow combine VOTES'
    """
    found = []
    for note in notes:
        title, words = _WORDINGS.get(note.code, ("", None))
        if words is not None:
            with contextlib.suppress(*OTHER_VALUES):
                found.append(Finding(note.code, note.severity, title, *words(note.values), note.values))
    return found


def advice_text(notes: Sequence[Note], *, width: int = DEFAULT_WIDTH) -> str:
    """Return the advice for a terminal."""
    blocks = []
    for found in findings(notes):
        parts = {"": found.reason, "Doubt: ": found.doubt, "Next: ": found.next_step}
        mark = "! " if SEVERITIES.index(found.severity) else ""
        lines = [
            textwrap.fill(text, width, initial_indent=f"  {start}", subsequent_indent="    ", break_on_hyphens=False)
            for start, text in parts.items()
            if text
        ]
        blocks.append("\n".join([f"{mark}{found.title}", *lines]))
    return "\n\n".join(blocks)


REASONS = {
    "measure": "drawn at random: accuracy on these rows is that of all",
    "correct": "among the least certain: its label is one of the likeliest to be wrong",
}
"""Why a row should be labelled, by its use."""


def _supervisors(values: Values) -> tuple[str, str, str]:
    if not values["supervisors"]:
        return "Nobody has voted.", "", "Give votes."
    best, worst = values["best"], values["worst"]
    text = f"Best by the lower end of its interval is {_of(best)}"
    text += f", worst by the upper end {_of(worst)}" if worst["name"] != best["name"] else ""
    text += f"; of all votes of {values['supervisors']:,} supervisors {number_text(values['mean'])} are right."
    if values["below_chance"]:
        text += f" Below chance, so that their votes speak for other choices: {_names(values['below_chance'])}."
    if values["copies"]:
        text += f" Copies of each other, counted once: {'; '.join(_names(group) for group in values['copies'])}."
    if not values["above_chance"]:
        text += " Nobody is above chance beyond doubt."
    doubt = "Votes cannot tell being right together from being wrong together, and nor do these intervals."
    if values["independent"] < 3:
        doubt = "With fewer than three independent supervisors, votes cannot show which of them is better. " + doubt
        return text, doubt, "Add a supervisor of another kind, or label rows."
    if not values["above_chance"]:
        return text, doubt, "Label rows at random: votes do not show that anybody knows the answers."
    return text, doubt, "Ask those below chance what they were asked." if values["below_chance"] else "Nothing to mend."


def _votes(values: Values) -> tuple[str, str, str]:
    if values["expected"] is None:
        return "No row without gold has a vote.", "", "Give votes."
    rho, voted = values["shared_evidence"], values["rows"] - values["without_votes"]
    text = (
        f"Combined answers have an expected accuracy of {number_text(values['expected'])}; "
        f"{share_text(values['unsure'])} of the rows have a confidence below .80. {values['per_row']:.1f} votes a row "
        f"on {voted:,} of {values['rows']:,} rows, from supervisors that amount to {values['effective']:.1f} "
        "independent ones"
    )
    text += f"; they share evidence (ρ = {rho:.2f})." if rho else "."
    calibrated = values["gold"] >= 100
    doubt = (
        f"Calibrated on {values['gold']:,} gold rows."
        if calibrated
        else "Errors that all supervisors share do not show. On planted votes the expected accuracy was right to .03 "
        "in 98 % of worlds of 500 rows or more, in 79 % of those of 200 rows and 58 % of those of 60; on seven sets of "
        "real votes of people and language models it was between .03 too low and .13 too high."
    )
    if not (calibrated or values["above_chance"]):
        doubt = f"Nobody is above chance beyond doubt: this accuracy may be made of chance alone. {doubt}"
    steps = {
        "enough": "They suffice as labels of these rows. Label some rows at random to check it.",
        "short": "They are too few or too bad to be labels by themselves: train a student, correct the least certain "
        "rows, or "
        + (
            "add supervisors of another kind, since more like these would say the same."
            if (rho or 0) >= 0.3
            else "ask for more votes on the rows with low confidence."
        ),
    }
    return text, doubt, steps[values["verdict"]]


def _combiner(values: Values) -> tuple[str, str, str]:
    doubts = []
    if values["rows"] - values["without_votes"] < _FEW_ROWS:
        doubts.append(
            "On so few rows copies are not found: where supervisors may copy each other, look at `majority` too."
        )
    if values["gold"] < 100:
        doubts.append(
            "This posterior is a good label of its own rows, and not the best one for a student to learn from."
        )
    return (
        "`dependence`: it was within a point of the best of four combiners in all of 210 planted worlds, in 95 % of "
        "them thinned to 200 rows, and in 83 % of them thinned to 60.",
        " ".join(doubts),
        "outgrow combine VOTES",
    )


def _method(values: Values) -> tuple[str, str, str]:
    text, doubt, step = _start(values)
    if "best" in values:
        best = f"{_name(values['best'])} has the highest score ({number_text(values['score'])})"
        text = f"In this run {best}. Elsewhere: {text}"
    return text, doubt, step


def _start(values: Values) -> tuple[str, str, str]:
    if values["start"] == "texts":
        return (
            "`refine: {name: icl, plausible: 0.25, share: 16}` where the strong model knows more than its supervisors, "
            "who then teach it how to answer, not what. With a chat model behind a supervisor who is right on 30 % it "
            "kept .95 [.86, 1.06] of what the model knew, `naive` .35 [.27, .43].",
            "Measured on one planted persona and in a made-up world.",
            "Compare it with `naive: {}`.",
        )
    if values["start"] == "validated":
        return (
            f"`combine: dependence, objective: bayesian`: with {values['gold']:,} gold rows it may use them. With 100 "
            "validation rows it had the highest mean PGR of 25 methods on three data sets (.51 above `naive`; "
            "`product` .45).",
            "The margin over `product` is small.",
            "Compare it with `objective: product`.",
        )
    doubt = (
        "Probes on small encoders. With all weights trained (three sets) `naive` was as good as `in_the_loop` (.58 and "
        ".61), and `product` (.36) was not. The accuracy of a student of the votes' posterior differs from that of "
        "`product` by −.017 [−.023, −.011]."
    )
    if values["start"] == "naive":
        return (
            "`naive: {}`, for rows with choices of their own: there were two such sets, with supervisors little "
            "above chance. On CosmosQA `naive` had .389 [.335, .442] and `objective: product` .353, on SciQ .393 and "
            ".394.",
            "With shared choices `product` was .025 above `naive`; supervisors who know more may bring that back. On "
            "SciQ no method was above the best supervisor.",
            "Compare it with `objective: product`.",
        )
    return (
        "`refine: in_the_loop`: in ten experiments with encoders and no gold it was never below the best supervisor "
        "(mean PGR .76 [.65, .87]; `objective: product` .73 [.57, .90]; `naive` .49 [.37, .61]). In accuracy it is "
        "above `product` by .008 [.004, .013], nearly all of it with 18 classes or a strong model far above its "
        "supervisors. Without features of the strong model take `product`.",
        doubt,
        "Compare it with `objective: product` and `naive: {}`. A hundred validation rows change the order "
        "(docs/choosing.md).",
    )


def _learnable(values: Values) -> tuple[str, str, str]:
    if "combined" in values:
        return (
            "Not as well as the supervisors answer: on the test rows the best student has "
            f"{number_text(values['student'])}, their combined votes {number_text(values['combined'])}.",
            "More unlabelled rows or another adapter may help.",
            "Use the combined votes where there are votes, and try another strong model.",
        )
    if values["kappa"] is None:
        return (
            "It is not known whether the strong model can learn the task.",
            "",
            "Add a method with `refine: in_the_loop`; it measures how well labels of other rows predict a row's.",
        )
    kappa = (
        "Cohen's κ of the weak labels and a student that learned them from other rows is "
        f"{number_text(values['kappa'])}"
    )
    if values["beyond"]:
        doubt = "Errors that all supervisors share can be learned too."
        return f"Yes: {kappa}.", doubt, "Train."
    return (
        f"It does not look so: {kappa}, which cannot be told from chance.",
        "Very few or very bad labels look the same.",
        "Take another strong model, or use the combined votes as they are.",
    )


def _base(values: Values) -> tuple[str, str, str]:
    if values["verdict"] == "unknown":
        return (
            "It is not known whether the untouched strong model is better than its supervisors.",
            "",
            "Add a method with `refine`; its audit compares them where gold answers or a judge exist.",
        )
    text = (
        f"On {values['metric']} the untouched strong model has {number_text(values['base'])}, the supervisors "
        f"{number_text(values['weak'])}"
    )
    if values.get("gain"):
        value, low, high = values["gain"]
        change = estimate_text(value, (low, high), signed=True)
        text += f"; the best student, {_name(values['student'])}, differs from it by {change}"
    doubt = f"A sample of {values['sample']} rows, before training." if "sample" in values else ""
    steps = {
        "keep": "Keep it: no student is as good. Refine behind demonstrations, or use it as it is.",
        "refine": "Keep what it knows: train on refined labels, never on the weak ones alone.",
        "train": "It is not shown to know more than its supervisors: refinement may have nothing to keep, train on the "
        "labels.",
    }
    return f"{text}.", doubt, steps[values["verdict"]]


def _gold(values: Values) -> tuple[str, str, str]:
    wanted = f"an interval of PGR no wider than {number_text(values['width'], decimals=2)}"
    if "bound" in values:
        cases = [
            f"{rows:,} where the ceiling is {number_text(float(gap), decimals=2)} above it"
            for gap, rows in values["bound"].items()
            if rows is not None
        ]
        floor = f"the floor ({values['source']}, taken to be at {number_text(values['floor'])})"
        return (
            f"For {wanted} above {floor}, at most about {', '.join(cases)}."
            if cases
            else f"Above {floor} there is hardly a gap to recover.",
            "A bound for one seed and any answers; a run with some gold rows gives a closer number.",
            "Label test rows drawn at random.",
        )
    pgr = values["pgr"]
    now = estimate_text(pgr[0], (pgr[1], pgr[2]), decimals=2) if pgr else "undefined, or without an interval"
    text = f"PGR of {_name(values['student'])} on {values['metric']} is {now} on {values['rows']:,} test rows."
    if values["needed"] is None:
        why = (
            "there is no gap to recover"
            if values["gap"] <= 0
            else "the variance between seeds is too large, or the gap small"
        )
        return f"{text} No number of test rows gives {wanted}: {why}.", "", "Add seeds, or a stronger ceiling."
    if values["needed"] == values["rows"]:
        return f"{text} That is enough for {wanted}.", "", "Nothing to label for this."
    return (
        f"{text} For {wanted} it takes about {values['needed']:,}.",
        "From variance components, if the differences stay as they are"
        + (f"; those between {values['seeds']} seeds are rough." if values["seeds"] > 1 else ", and for one seed."),
        "Label further test rows drawn at random.",
    )


def _rows(values: Values) -> tuple[str, str, str]:
    least = (
        f" And {values['correct']:,} of the least certain, of whose labels {share_text(values['wrong'])} are expected "
        f"to be wrong ({number_text(values['all'])} of the accuracy on all rows)."
    )
    return (
        f"{values['measure']:,} rows, drawn at random, to measure with.{least if values['correct'] else ''}",
        "Uncertain rows alone say nothing about accuracy, and a combiner calibrated on them is no better than before.",
        f"Label {values['file']}, and give the answers back as --gold, or to a run as gold of validation rows."
        if values["file"]
        else "Write them with -o rows.csv.",
    )


_WORDINGS: dict[str, tuple[str, Callable[[Values], tuple[str, str, str]]]] = {
    "advice.supervisors": ("Who is how good?", _supervisors),
    "advice.votes": ("Do the votes suffice?", _votes),
    "advice.combine": ("How to combine them?", _combiner),
    "advice.learnable": ("Can the strong model learn the task?", _learnable),
    "advice.base": ("Keep the untouched strong model?", _base),
    "advice.method": ("Which method?", _method),
    "advice.gold": ("How many gold rows?", _gold),
    "advice.rows": ("Which rows to label?", _rows),
}


def _of(one: Values) -> str:
    value, low, high = one["accuracy"]
    return f"{_name(one['name'])} {estimate_text(value, (low, high))}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(_name, names[:_MOST_NAMED])) + more


def _name(name: str) -> str:
    # Escaped: a name may hold what a terminal obeys.
    return repr(name[:_LONGEST_NAME])

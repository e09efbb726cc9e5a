"""Wording and order of notes: from records to the sentences of tables and reports."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from outgrow.evaluate.wording import estimate_text, number_text, share_text
from outgrow.labels.notes import OTHER_VALUES, SEVERITIES, Note, Severity

Wording = str | Callable[[Mapping[str, Any]], str]
"""A format string for the values of a note, or a function that chooses one by the values.

It starts in lower case and may use `{who}`, which includes the seed; otherwise who and seed are put in front. Formats:
`{n:row|rows}` a count with its noun, `{x:score}`, `{x:share}` (per cent), `{x:estimate}` and `{x:change}` (a value, or
a list of value and interval ends), `{x:rating}`, `{n:of}` ("3 of"), `{x:weights}` (a mapping of names to numbers),
`{x:names}` (a list, of which the first five are named), `{x:capital}` (with a capital letter). Values belong into
places, never into the format string: a name may have braces."""

MOST_SHOWN = 8
"""Notes of severity `info` in sight; the others are folded or counted."""


def _floor(text: str) -> Wording:
    # FLOOR is the supervisor that a gap is measured against.
    only, best, mean = "the supervisor ({who})", "the best supervisor ({who})", "the average supervisor"
    combined = "the supervisors combined ({who})"

    def wording(values: Mapping[str, Any]) -> str:
        if values.get("floor") == "combined":
            return text.replace("FLOOR", combined)
        return text.replace("FLOOR", mean if not values["who"] else best if values["best_of_several"] else only)

    return wording


def _some_rows(rest: str) -> Wording:
    # Tables that are labelled without an experiment have no parts.
    def wording(values: Mapping[str, Any]) -> str:
        part = " of the {part} part" if values.get("part") else ""
        return "{count:of} {rows:row|rows}" + part + rest + (": {why}." if "why" in values else ".")

    return wording


def _model(text: str) -> Wording:
    # There is one ceiling, whose name says no more than its role.
    return lambda values: ("the {who} " if values["who"] == values["role"] else "the {role} {who!r} ") + text


_ENDINGS = {
    "finished": "with an end of their own",
    "open": "cut at the length or a stop string",
    "repeating": "cut while repeating",
    "empty": "empty",
}
_BROKEN = {
    "empty": "are empty",
    "refusing": "refuse",
    "copied": "repeat the question",
    "equal": "(more than of the weak texts) are one and the same",
}
_WITHOUT_PAIRS = {
    "one candidate": "had no two different candidates",
    "unread": "had candidates that no supervisor could score",
    "unusable": "had no candidate that the task can use",
    "tied": "had candidates that are all equally good",
}


def _entropy(quartiles: list[float]) -> str:
    low, middle, high = quartiles
    return f"; median entropy {middle:.2f} nats a token, {low:.2f} to {high:.2f} in half of the rows"


WORDINGS: dict[str, Wording] = {
    "message": "{text}",
    "pgr.undefined": _floor("PGR against FLOOR is undefined, because {reason}."),
    "pgr.no_interval": _floor("PGR against FLOOR has no interval, because {reason}."),
    "score.all_zero": "no answer of any model scores above 0 in {name}: no model can do this, or the metric is too "
    "strict (task.metric may name one that gives partial credit, such as token_f1, rouge_l or chrf).",
    "score.at_chance": _model("scores {score:estimate}, at or below chance ({chance:score})."),
    "score.near_chance": _model("scores {score:estimate}, which cannot be told from chance ({chance:score})."),
    "score.below_base": "{who!r} is worse than the untouched strong model ({gain:change}): its training did harm.",
    "best.picked_on_test": "the best supervisor ({who}) was picked on the test part, and another one may be as good "
    "(p = {p:score}): as a floor it is a little too high, and PGR against it a little too low.",
    "test.few_examples": "there are only {examples:test example|test examples}: the intervals are rough, and likely "
    "too narrow.",
    "seeds.few": lambda values: (
        "students were trained with one seed: the intervals reflect test examples, not training runs."
        if values["seeds"] == 1
        else "students were trained with {seeds} seeds: too few for intervals that cover the truth in 95 % of "
        "experiments; it may be 90 %, although they are wide."
    ),
    "advice.sampled": "advice on the votes is of {sampled:of} {rows:unlabelled row|unlabelled rows}, drawn at random.",
    "ceiling.none": "no ceiling: some unlabelled rows have no gold answer.",
    "combine.weights": lambda values: (
        "the supervisors' weights are {weights:weights}"
        + ("; {single:of} {rows:row|rows} had one candidate only." if values["single"] else ".")
    ),
    "concept.missing": "no concept could be inferred for {missing:of} {rows:row|rows}.",
    "cost.all": "all servers with prices together cost {money}.",
    "cost.model": "{who:capital} took {usage}.",
    "demonstrations.dropped": lambda values: (
        "{dropped:demonstration was|demonstrations were} left out whole, because the context has no room for them"
        + ("; {bare:prompt has|prompts have} none left." if values["bare"] else ".")
    ),
    "judge.agreement": lambda values: (
        "judges of {rated}: Krippendorff's α is "
        + ("undefined, since all ratings are equal" if values["alpha"] is None else "{alpha:rating}")
        + "; mean ratings are {means:weights}."
    ),
    "judge.checked": lambda values: (
        "the judge {judge} gives right answers a mean {rated} of {right:rating}, right answers to similar other "
        "questions {wrong:rating}; of {pairs} such pairs it rates {share:estimate} the right way round (a guess: .50)."
        + (" A judge this weak makes differences in {rated} look smaller than they are." if values["weak"] else "")
    ),
    "judge.no_pair": "the judge {judge}, tested on {answers:right answer|right answers} and as many others, rated no "
    "pair of them.",
    "judge.repaired": lambda values: (
        "of {ratings} ratings of {rated}, the judge {judge} gave "
        + " and ".join(
            ["{repaired} after asking again"] * bool(values["repaired"])
            + ["{unread} not at all, which leaves {lost:of} {answers:answer|answers} without one"]
            * bool(values["unread"])
        )
        + "."
    ),
    "judge.unread": "the judge {judge} gave no rating of {rated} that can be read, in {ratings} replies, such as "
    "“{example}”.",
    "run.not_evaluated": lambda values: (
        "nothing was evaluated, since no row has a gold answer: whether students are better than their supervisors is "
        "not known. predictions.parquet has all answers to the unlabelled rows. {supervisors:supervisor|supervisors} "
        + ("gave {texts:text|texts}" if "texts" in values else "gave {votes:vote|votes}")
        + ", on {coverage:share} of the rows"
        + ("; of two on a row {agreement:share} are equal" if values["agreement"] is not None else "")
        + ("; the expected accuracy, if the posterior is right, is {expected:weights}" if values["expected"] else "")
        + "."
    ),
    "output.replaced": "these results replace those of another configuration in {folder} (changed: {keys:names}). Its "
    "work is kept in the store: run it again with another `output` to have both.",
    "predictions.missing": "{missing:of} {rows:test row has|test rows have} no answer; they count as wrong, or as a "
    "guess at a choice.",
    "preferences.none": "there is nothing to prefer, so the supervised student stays as it is.",
    "preferences.pairs": lambda values: (
        "{pairs:preference pair|preference pairs} of candidates from {from_rows:of} {rows:row|rows}"
        + (", each the wrong way round with a probability of {doubt:.2f} on average" if "doubt" in values else "")
        + "; the supervisors' weights are {lambdas:weights}."
    ),
    "preferences.shift": lambda values: (
        "the stage moved the log-probability of chosen texts by {chosen:+.1f}, of rejected ones by {rejected:+.1f}"
        + (
            ": chosen texts became less probable too, and what was learned before is lost with them; `penalty` (dpo, "
            "cdpo) prevents this."
            if values["fell"]
            else "."
        )
    ),
    "preferences.unusable": "{refused:of} {of:candidate is an answer|candidates are answers} that the task cannot use; "
    "they rank last.",
    "preferences.without": lambda values: (
        "{rows:of} {of:row|rows} " + _WITHOUT_PAIRS.get(values["reason"], "gave no pair ({reason})") + "."
    ),
    "refine.broken": lambda values: (
        "refinement breaks down: of its answers "
        + ", ".join(f"{{{key}:share}} {text}" for key, text in _BROKEN.items() if key in values)
        + "."
    ),
    "refine.collapsed": "refinement breaks down: {refined:share} of its labels are {choice!r}, against {weak:share} of "
    "the weak ones.",
    "ratings.missing": "{missing:of} {answers:answer|answers} of {who} have no rating of {rated} in {judge}.",
    "refine.lower": lambda values: (
        "refined {unit} score {refined:score}, lower than the weak ones ({weak:score})"
        + (" and the untrained strong model ({base:score})" if "base" in values else "")
        + (", by two standard errors on a sample of {rows:row|rows}." if "rows" in values else ".")
    ),
    "refine.no_effect": "the weak {unit} have no effect on the refined ones: {share:share} of these equal those of the "
    "untrained strong model.",
    "refine.not_adopted": "{share:share} of the refined answers did not adopt the concept.",
    "refine.nothing_known": lambda values: (
        "the untouched strong model is not clearly above the supervisors on any score ("
        + ", ".join(
            f"{metric} {number_text(base)} against {number_text(weak)}"
            for metric, (base, weak) in values["scores"].items()
        )
        + ", on a sample of {rows:row|rows}): that it has knowledge for refinement to keep is not shown."
    ),
    "refine.one_label": "all weak labels are {choice!r}: no demonstration shows when another choice is right.",
    "refine.reworded": "refined answers lose the wording of the weak ones: {adopted:share} of them (95 % interval "
    "{low:share} to {high:share}) have it, the others that of the untrained strong model; a classifier tells the two "
    "apart in {accuracy:share} of unseen answers. Ignore this if students should not learn the supervisors' style.",
    "refine.unchanged": lambda values: (
        "refinement changes hardly a label: {share:share} of its labels equal the weak ones; their mean confidence "
        "changes from {before:score} to {after:score}."
        if "before" in values
        else "refinement changes nothing: {share:share} of its {unit} equal the weak ones."
    ),
    "refine.unrelated": "refined and weak labels agree hardly more than by chance (Cohen's κ {kappa:score}, at most "
    "{most:score}): at least one of the two knows little of the task. Only gold answers can say which.",
    "refined.missing": "{missing:of} {rows:row|rows} have no refined answer: {why}.",
    "refined.agreement": lambda values: (
        "Cohen's κ of the weak labels and a student that learned them from other rows is {kappa:score}"
        + (
            ": features of the strong model and votes have something in common, which may be errors too."
            if values["kappa"] > 2 * values["error"]
            else ", which cannot be told from chance: features of the strong model may not carry this task, and the "
            "labels stay as they are."
        )
    ),
    "refined.unread": "{rows:row is|rows are} skipped: longer than the strong model's context, or its answer "
    "names no choice.",
    "rows.without_text": "{left_out:of} {rows:unlabelled row|unlabelled rows} have no text and are skipped.",
    "rows.without_vote": "{left_out:of} {rows:unlabelled row|unlabelled rows} have no usable vote and are skipped.",
    "store.not_kept": "the source or a parameter of {who} cannot be hashed, so its results are not kept for later "
    "runs.",
    "student.not_trained_here": lambda values: (
        "{who} is not in the table: a model behind a server is not trained here. strong.fine_tune lets its provider do "
        "it. Or `outgrow export FILE --method {who}` writes the training file, and strong.tuned.{who} names the model "
        "that comes of it."
        if values.get("server", True)
        else "{who} is not in the table: the strong model has no weights that could be trained here."
    ),
    "texts.cut": _some_rows(" have an answer that was cut after {most} tokens (generate.max_new_tokens)"),
    "texts.empty": _some_rows(" have an empty answer"),
    "texts.endings": lambda values: (
        "best texts: "
        + ", ".join(f"{values['endings'][kind]} {text}" for kind, text in _ENDINGS.items() if kind in values["endings"])
        + (_entropy(values["entropy"]) if values["entropy"] else "")
        + "."
    ),
    "texts.missing": _some_rows(" have no answer"),
    "texts.none": "left out of the comparison, without any text on the test rows: {supervisors:names}.",
    "texts.refusing": _some_rows(" have an answer that refuses"),
    "texts.repeating": _some_rows(" have an answer that repeats itself without end"),
    "test.shared_prompts": "{shared:of} {rows:row|rows} have a prompt that a training row has too: scores on them are "
    "flattering.",
    "test.shared_stems": "{shared:of} {rows:test row has|test rows have} a prompt that begins as one of another part "
    "does. If such rows belong together, as answers to one question do, scores are flattering: name their column in "
    "task.split.group.",
    "votes.none_on_test": "left out of the comparison, without any vote on the test rows: {supervisors:names}.",
    "votes.failed": "failed on {failed:of} {rows:row|rows}, first with: {first}",
    "votes.many_missing": "{several:of} {supervisors:supervisor|supervisors} have no vote on some rows, {least:share} "
    "to {most:share} of them; there they count as uniform guesses.",
    "votes.none": "left out, without any vote on the unlabelled and test rows: {supervisors:names}.",
    "votes.some_missing": "no vote on {share:share} of the rows; there it counts as a uniform guess.",
}
"""How each code is worded. Codes of plug-ins are not here; they are shown as `code: key=value, …`."""

_ABOUT_EVERYTHING = ("test.shared_prompts", "test.shared_stems", "test.few_examples", "seeds.few")
"""Codes of notes that limit every number, which stand before others of their severity."""
_MOST_NAMED = 5
_MOST_WHO = 3
"""A code about more models than this is one group."""


class _Formatter(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if value is None:
            return "unknown"
        if "|" in spec:
            singular, plural = spec.split("|")
            return f"{value:,} {singular if value == 1 else plural}"
        if spec == "of":
            return f"{value:,} of"
        if spec == "capital":
            return str(value)[:1].upper() + str(value)[1:]
        if spec == "rating":
            return number_text(value, decimals=2)
        if spec in ("estimate", "change"):
            number, *ends = value if isinstance(value, list) else [value]
            return estimate_text(number, (ends[0], ends[1]) if ends else None, signed=spec == "change")
        if spec == "weights":
            return ", ".join(
                f"{name} {'unknown' if own is None else format(own, '.2f')}" for name, own in value.items()
            )
        if spec == "names":
            more = f" and {len(value) - _MOST_NAMED:,} more" if len(value) > _MOST_NAMED else ""
            return ", ".join(map(str, value[:_MOST_NAMED])) + more
        if spec == "share":
            return share_text(value)
        return number_text(value) if spec == "score" else str(super().format_field(value, spec))


def sentence(note: Note) -> str:
    """Return the wording of a note, with its metric, who and seed.

    Example:
        >>> sentence(Note("score.at_chance", who="naive", values={"role": "student", "score": 0.2, "chance": 0.25}))
        "The student 'naive' scores .200, at or below chance (.250)."
        >>> sentence(Note("acme.slow", who="ann", seed=1, values={"rows": 3, "hours": 2.5}))
        'ann (seed 1): acme.slow: rows=3, hours=2.5'
    """
    who = _who(note)
    known = WORDINGS.get(note.code, "")
    values = {**note.values, "who": who}
    try:
        wording = known(values) if callable(known) else known
        text = _Formatter().vformat(wording, (), values)
    except OTHER_VALUES:
        wording = ""
    if not wording:
        shown = ", ".join(f"{key}={value}" for key, value in note.values.items())
        return ": ".join(filter(None, (who, note.code, shown)))
    places = [f"On {note.values['metric']}"] if "metric" in note.values else []
    places += [who] if who and "{who" not in wording else []
    if places or wording.startswith("{"):
        return ": ".join([*places, text])
    return text[:1].upper() + text[1:]


def _rank(note: Note) -> int:
    # That a supervisor is weak is the setting, not a doubt about the result.
    if note.values.get("role") == "supervisor":
        return len(_ABOUT_EVERYTHING) + 1
    return _ABOUT_EVERYTHING.index(note.code) if note.code in _ABOUT_EVERYTHING else len(_ABOUT_EVERYTHING)


def _who(note: Note) -> str | None:
    if note.seed is None:
        return note.who
    return f"{note.who} (seed {note.seed})" if note.who else f"Seed {note.seed}"


@dataclass(frozen=True)
class NoteGroup:
    """Notes of the same code, severity, who and metric, in words."""

    text: str
    """The first note."""
    severity: Severity
    alike: tuple[str, ...] = ()
    """The other notes, in order."""

    @property
    def short(self) -> str:
        """The first note, and how many are like it."""
        return f"{self.text} (And {len(self.alike)} like it.)" if self.alike else self.text


def ranked(notes: Iterable[Note]) -> list[NoteGroup]:
    """Return notes in words, the gravest first: by severity, then what limits every number, else in their order.

    Notes that differ only in seed or values are one group, and so are those of one code about more than three models;
    free texts (`message`) are one only where they are equal.

    Example:
        >>> notes = [Note("seeds.few", values={"seeds": 2})]
        >>> notes += [Note("x.empty", "warning", "ann", seed, {"rows": 3}) for seed in (0, 1)]
        >>> [(note.severity, note.short) for note in ranked(notes)][0]
        ('warning', 'ann (seed 0): x.empty: rows=3 (And 1 like it.)')
    """
    distinct = list(dict.fromkeys(notes))
    about: dict[str, set[str | None]] = {}
    for note in distinct:
        about.setdefault(note.code, set()).add(note.who)
    groups: dict[tuple[object, ...], list[Note]] = {}
    for note in distinct:
        part = str(note.values.get("text" if note.code == "message" else "metric"))
        who = note.who if note.code == "message" or len(about[note.code]) <= _MOST_WHO else None
        groups.setdefault((note.code, note.severity, who, part), []).append(note)
    ordered = sorted(groups.values(), key=lambda group: (-SEVERITIES.index(group[0].severity), _rank(group[0])))
    sentences = [(group[0].severity, tuple(dict.fromkeys(map(sentence, group)))) for group in ordered]
    return [NoteGroup(first, severity, tuple(others)) for severity, (first, *others) in sentences]

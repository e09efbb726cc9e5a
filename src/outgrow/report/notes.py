"""Wording and order of notes: from records to the sentences of tables and reports."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from outgrow.evaluate.wording import estimate_text, number_text, share_text
from outgrow.labels.notes import SEVERITIES, Note, Severity

Wording = str | Callable[[Mapping[str, Any]], str]
"""A format string for the values of a note, or a function that chooses one by the values.

It starts in lower case and may use `{who}`, which includes the seed; otherwise who and seed are put in front. Formats:
`{n:row|rows}` a count with its noun, `{x:score}`, `{x:share}` (per cent), `{x:estimate}` and `{x:change}` (a value, or
a list of value and interval ends), `{x:names}` (a list, of which the first five are named)."""

MOST_SHOWN = 8
"""Notes of severity `info` in sight; the others are folded or counted."""


def _floor(text: str) -> Wording:
    """The wording of a note on a gap, in which FLOOR is the supervisor that it is measured against."""
    only, best, mean = "the supervisor ({who})", "the best supervisor ({who})", "the average supervisor"
    return lambda values: text.replace(
        "FLOOR", mean if not values["who"] else best if values["best_of_several"] else only
    )


WORDINGS: dict[str, Wording] = {
    "message": "{text}",
    "pgr.undefined": _floor("PGR against FLOOR is undefined, because {reason}."),
    "pgr.no_interval": _floor("PGR against FLOOR has no interval, because {reason}."),
    "pgr.partly_undefined": _floor(
        "in {share:share} of the resamples there is no gap above FLOOR; PGR intervals leave these out."
    ),
    "score.at_chance": "the {role} {who!r} scores {score:estimate}, at or below chance ({chance:score}).",
    "score.near_chance": "the {role} {who!r} scores {score:estimate}, which cannot be told from chance "
    "({chance:score}).",
    "score.below_base": "{who!r} is worse than the untouched strong model ({gain:change}): its training did harm.",
    "best.picked_on_test": "the best supervisor ({who}) was picked on the test part, and in {share:share} of the "
    "resamples another one is better: as a floor it is a little too high, and PGR against it a little too low.",
    "test.few_examples": "there are only {examples:test example|test examples}: the intervals are rough, and likely "
    "too narrow.",
    "seeds.few": lambda values: (
        "students were trained with one seed: the intervals reflect test examples, not training runs."
        if values["seeds"] == 1
        else "students were trained with {seeds} seeds: too few for the intervals to show how much runs differ."
    ),
}
"""How each code is worded. Codes of plug-ins are not here; they are shown as `code: key=value, …`."""

_NAMED = 5


class _Formatter(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if value is None:
            return "unknown"
        if "|" in spec:
            singular, plural = spec.split("|")
            return f"{value:,} {singular if value == 1 else plural}"
        if spec in ("estimate", "change"):
            number, *ends = value if isinstance(value, list) else [value]
            return estimate_text(number, (ends[0], ends[1]) if ends else None, signed=spec == "change")
        if spec == "names":
            more = f" and {len(value) - _NAMED:,} more" if len(value) > _NAMED else ""
            return ", ".join(map(str, value[:_NAMED])) + more
        known = {"score": number_text, "share": share_text}
        return known[spec](value) if spec in known else str(super().format_field(value, spec))


def sentence(note: Note) -> str:
    """Return the wording of a note, with its metric, who and seed.

    Example:
        >>> sentence(Note("score.at_chance", who="naive", values={"role": "student", "score": 0.2, "chance": 0.25}))
        "The student 'naive' scores .200, at or below chance (.250)."
        >>> sentence(Note("acme.slow", who="ann", seed=1, values={"rows": 3, "hours": 2.5}))
        'ann (seed 1): acme.slow: rows=3, hours=2.5'
    """
    who, known = _who(note), WORDINGS.get(note.code, "")
    values = {**note.values, "who": who}
    try:
        wording = known if isinstance(known, str) else known(values)
        text = _Formatter().vformat(wording, (), values)
    except (KeyError, TypeError, ValueError, IndexError):
        wording = ""  # a file of another version, with other values
    if not wording:
        shown = ", ".join(f"{key}={value}" for key, value in note.values.items())
        return ": ".join(filter(None, (who, note.code, shown)))
    places = [f"On {note.values['metric']}"] if "metric" in note.values else []
    places += [who] if who and "{who" not in wording else []
    if places or wording.startswith("{"):
        return ": ".join([*places, text])
    return text[:1].upper() + text[1:]


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
    """Severity of all of them."""
    alike: tuple[str, ...] = ()
    """The other notes, in order."""

    @property
    def short(self) -> str:
        """The first note, and how many are like it."""
        return f"{self.text} (And {len(self.alike)} like it.)" if self.alike else self.text


def ranked(notes: Iterable[Note]) -> list[NoteGroup]:
    """Return notes in words, the gravest first, else in their order.

    Notes that differ only in seed or values are one group; free texts (`message`) are one only where they are equal.

    Example:
        >>> notes = [Note("seeds.few", values={"seeds": 2})]
        >>> notes += [Note("x.empty", "warning", "ann", seed, {"rows": 3}) for seed in (0, 1)]
        >>> [(note.severity, note.short) for note in ranked(notes)][0]
        ('warning', 'ann (seed 0): x.empty: rows=3 (And 1 like it.)')
    """
    groups: dict[tuple[object, ...], list[Note]] = {}
    for note in dict.fromkeys(notes):
        part = str(note.values.get("text" if note.code == "message" else "metric"))
        groups.setdefault((note.code, note.severity, note.who, part), []).append(note)
    found = []
    for group in groups.values():
        first, *others = dict.fromkeys(map(sentence, group))
        found.append(NoteGroup(first, group[0].severity, tuple(others)))
    return sorted(found, key=lambda group: -SEVERITIES.index(group.severity))
